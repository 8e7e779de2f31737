// Elements of SVG and HTML, made in one line each, and text that fits a width.

export function svg(name, attributes = {}, ...children) {
    return filled(document.createElementNS('http://www.w3.org/2000/svg', name), attributes, children)
}

export function html(name, attributes = {}, ...children) {
    return filled(document.createElement(name), attributes, children)
}

function filled(element, attributes, children) {
    set(element, attributes)
    element.append(...children.flat(Infinity).filter(child => child !== null && child !== undefined && child !== false))
    return element
}

// Attributes by name; a function is a listener, null and false are no attribute, true is an empty one.
export function set(element, attributes) {
    for (const [name, value] of Object.entries(attributes)) {
        if (typeof value === 'function') element.addEventListener(name, value)
        else if (value === null || value === undefined || value === false) element.removeAttribute(name)
        else element.setAttribute(name, value === true ? '' : value)
    }
    return element
}

export function text(x, y, words, attributes = {}) {
    return svg('text', {x, y, ...attributes}, words)
}

const ruler = typeof document === 'undefined' ? null : document.createElement('canvas').getContext('2d')

function widthOf(words, size = 12, weight = 400) {
    const {fontFamily} = getComputedStyle(document.querySelector('.network-drawing') ?? document.body)
    ruler.font = `${weight} ${size}px ${fontFamily}`
    return ruler.measureText(words).width
}

export function shortened(words, width, size = 12, weight = 400) {
    if (widthOf(words, size, weight) <= width) return words
    let end = words.length
    while (end > 1 && widthOf(words.slice(0, end) + '…', size, weight) > width) end--
    return words.slice(0, end).trimEnd() + '…'
}

// Words in lines of at most `width`, as one text element whose first line stands at y.
export function paragraph(x, y, width, words, {size = 12, weight = 400, lead = 1.35, ...attributes} = {}) {
    const element = svg('text', {x, y, 'font-size': size, 'font-weight': weight, ...attributes})
    linesOf(words, width, size, weight).forEach((line, i) =>
        element.append(svg('tspan', {x, dy: i ? size * lead : 0}, line)))
    return element
}

export function linesOf(words, width, size = 12, weight = 400) {
    const lines = []
    let line = ''
    for (const word of words.split(' ')) {
        const longer = line ? `${line} ${word}` : word
        if (line && widthOf(longer, size, weight) > width) {
            lines.push(line)
            line = word
        } else line = longer
    }
    return [...lines, line]
}

// A picture of width × height pixels as a URL; paint(index) gives [red, green, blue, alpha = 255].
export function pixelsURL(width, height, paint) {
    const canvas = document.createElement('canvas')
    Object.assign(canvas, {width, height})
    const context = canvas.getContext('2d'), image = context.createImageData(width, height)
    for (let i = 0; i < width * height; i++) image.data.set([...paint(i), 255].slice(0, 4), 4 * i)
    context.putImageData(image, 0, 0)
    return canvas.toDataURL()
}

export function picture(x, y, width, height, url, attributes = {}) {
    return svg('image', {x, y, width, height, href: url, preserveAspectRatio: 'none',
                         style: 'image-rendering: pixelated', ...attributes})
}

// What is no key is hatched, which no weight looks like.
export function hatching() {
    return svg('defs', {}, svg('pattern', {id: 'network-hatch', width: 6, height: 6, patternUnits: 'userSpaceOnUse'},
        svg('rect', {width: 6, height: 6, class: 'hatch-paper'}),
        svg('path', {d: 'M-1 1L1 -1M0 6L6 0M5 7L7 5', class: 'hatch-line'})))
}
