// The drawing as a file: SVG with its styles written in, PNG, or a page of its own that needs no network.

import {html} from './elements.js'
import {FIRST} from './state.js'

const WRITTEN = {  // the styles that a file needs, and what they are by themselves
    fill: 'rgb(0, 0, 0)', stroke: 'none', 'stroke-width': '1px', 'stroke-dasharray': 'none', opacity: '1',
    'fill-opacity': '1', 'stroke-opacity': '1', 'font-size': '', 'font-weight': '400', 'font-family': '',
    'text-anchor': 'start', 'dominant-baseline': 'auto', display: 'inline', 'paint-order': 'normal',
    'stroke-linecap': 'butt', 'stroke-linejoin': 'miter', 'image-rendering': 'auto', 'font-variant-numeric': 'normal',
}

function asSVG(drawn, background) {
    const copy = drawn.cloneNode(true)
    const [originals, copies] = [drawn, copy].map(each => [each, ...each.querySelectorAll('*')])
    originals.forEach((original, i) => {
        const style = getComputedStyle(original), text = original.matches('text, tspan')
        const written = Object.entries(WRITTEN).filter(([name, usual]) =>
            (text || !name.startsWith('font')) && style.getPropertyValue(name) !== usual)
        copies[i].setAttribute('style', written.map(([name]) => `${name}:${style.getPropertyValue(name)}`
            .replaceAll('"', "'")).join(';'))
        for (const name of ['class', 'tabindex', 'role', 'data-key']) copies[i].removeAttribute(name)
    })
    copies.slice(1).filter(each => each.style.display === 'none').forEach(each => each.remove())
    const [width, height] = ['width', 'height'].map(side => Number(drawn.getAttribute(side)))
    copy.setAttribute('xmlns', 'http://www.w3.org/2000/svg')
    copy.setAttribute('viewBox', `-16 -16 ${width + 32} ${height + 32}`)
    copy.setAttribute('width', width + 32)
    copy.setAttribute('height', height + 32)
    const paper = document.createElementNS('http://www.w3.org/2000/svg', 'rect')
    const all = {x: -16, y: -16, width: width + 32, height: height + 32, fill: background}
    for (const [name, value] of Object.entries(all))
        paper.setAttribute(name, value)
    copy.prepend(paper)
    return new XMLSerializer().serializeToString(copy)
}

async function asPNG(svgText, scale = 2) {
    const image = new Image()
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svgText)}`
    await image.decode()
    const canvas = document.createElement('canvas')
    Object.assign(canvas, {width: image.width * scale, height: image.height * scale})
    canvas.getContext('2d').drawImage(image, 0, 0, canvas.width, canvas.height)
    return new Promise(resolve => canvas.toBlob(resolve, 'image/png'))
}

// A page with the drawing at work: the program, the numbers of this picture, and the state that it is in.
function asPage(description, state) {
    const safe = text => text.replaceAll('</', '<\\/')
    return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>A vision transformer at work on one picture</title>
<style>body { font: 16px system-ui, sans-serif; max-width: 1080px; margin: 24px auto; padding: 0 16px;
  background: #fff; color: #1f2937; } body.dark { background: #0b0f19; color: #f3f4f6; }</style>
</head><body><div id="drawing"></div>
<script>${safe(window.networkDrawing.source)}</script>
<script>document.body.classList.toggle('dark', matchMedia('(prefers-color-scheme: dark)').matches)
networkDrawing.mount({element: document.querySelector('#drawing'),
    props: {value: ${safe(JSON.stringify({...description, subject: null, examples: []}))}},
    state: ${safe(JSON.stringify(state))}})</script>
</body></html>
`
}

function download(content, name, type) {
    const url = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], {type}))
    const link = Object.assign(document.createElement('a'), {href: url, download: name})
    link.click()
    setTimeout(() => URL.revokeObjectURL(url), 10000)
}

// What is done with a drawing as a whole: undone, linked to, saved.
export function saving(drawing) {
    const button = (words, click) => html('button', {type: 'button', class: 'plain', click}, words)
    const paper = () => getComputedStyle(drawing.root).getPropertyValue('--paper').trim() || '#fff'
    const svgText = () => asSVG(drawing.svg, paper())
    const whole = () => asPage(drawing.description, {...drawing.store.state, experiment: FIRST.experiment})
    const link = async () => { said.textContent = await copied(drawing.description) }
    const said = html('span', {class: 'note', role: 'status'})
    return html('section', {class: 'saving', 'aria-label': 'Undo, link, save'},
        button('Undo', () => drawing.store.undo()),
        drawing.trigger ? button('Copy link', link) : '',
        button('Save as SVG', () => download(svgText(), 'network.svg', 'image/svg+xml')),
        button('Save as PNG', async () => download(await asPNG(svgText()), 'network.png')),
        button('Save as a page', () => download(whole(), 'network.html', 'text/html')),
        said)
}

async function copied({example}) {
    try {
        await navigator.clipboard.writeText(location.href)
    } catch {  // not over plain HTTP, nor where it is forbidden
        return `The link: ${location.href}`
    }
    return example === 'yours' ? 'The link is copied; your picture stays with you, an example stands in its place.'
        : 'The link is copied.'
}
