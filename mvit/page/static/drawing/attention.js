// What a token attends to: outlines in every panel, arcs to its keys, its weights in each head. Updated, never rebuilt.

import {svg, set, text} from './elements.js'
import {css, percent} from './colours.js'
import {indexOfLargest} from './data.js'
import {mapCells} from './layout.js'

const WIDEST_ARC = 11  // pixels, of a weight of one

export class AttentionView {
    constructor(scene, overview) {
        Object.assign(this, {scene, overview})
        this.element = svg('g', {class: 'attention'})
        this.under = svg('path', {class: 'elsewhere'})
        this.heads = this.buildHeads()
        this.outlines = [this.buildOutlines('first'), this.buildOutlines('second')]
        const {tokens, rows} = scene.panels
        const many = scene.block.N
        this.arcs = [tokens, rows].map(panel =>
            panel ? ['first', 'second'].map(which => this.buildArcs(many, which)) : null)
        this.keyOutline = outline('key')
        this.labels = [0, 1].map(() => text(0, 0, '', {class: 'arc-label', display: 'none'}))
        this.element.append(this.under, ...this.heads.map(head => head.element),
                            ...this.arcs.flatMap(pair => pair ? pair.map(arc => arc.element) : []),
                            ...this.outlines.flatMap(each => each.map(({outline}) => outline)), this.keyOutline,
                            ...this.labels)
    }

    buildHeads() {
        const {panels: {heads: panel}, block, layer} = this.scene
        return (panel?.places ?? []).map(place => {
            const grid = mapCells(place, block)
            const cells = Array.from({length: block.N}, () => svg('rect', {width: grid.w + 0.3, height: grid.h + 0.3}))
            const words = place.pin ? '2nd pin' : `head ${place.head + 1}`
            return {...place, ...grid, cells, element: svg('g', {
                class: 'head', 'data-head': place.head, 'data-pin': place.pin},
                text(place.x, place.y - 3, words, {class: 'small'}),
                svg('rect', {x: place.x, y: place.y, width: place.width, height: place.height, class: 'hatched'}),
                ...cells,
                svg('rect', {x: place.x, y: place.y, width: place.width, height: place.height, class: 'head-frame'}))}
        })
    }

    // Where one token is outlined: in every panel that has it, and over its part of the picture.
    buildOutlines(which) {
        const {panels, block} = this.scene, {top, thumb} = this.overview
        const square = panel => (row, column) => [...panel.grid.corner(row, column), panel.grid.w, panel.grid.h]
        const same = map => map.rows === block.rows && map.columns === block.columns
        const places = [
            panels.given && same(block.given) && square(panels.given), panels.tokens && square(panels.tokens),
            panels.added && square(panels.added), panels.passed_on && same(block.passed_on) && square(panels.passed_on),
            panels.rows && ((row, column) => {
                const {p, n} = block.tokenAt(row, column), side = panels.rows.cell * 0.95
                return [...panels.rows.sequenceCorner(p, n), side, side]
            }),
            ...this.heads.map(head => (row, column) => [...head.corner(row, column), head.w, head.h]),
            (row, column) => [column * thumb / block.columns, top + row * thumb / block.rows, thumb / block.columns,
                              thumb / block.rows],
        ].filter(Boolean)
        return places.map(at => ({at, outline: outline(which)}))
    }

    buildArcs(count, which) {
        const paths = Array.from({length: count}, () => svg('path', {class: `arc ${which}`, display: 'none'}))
        return {paths, element: svg('g', {class: 'arcs'}, ...paths)}
    }

    // queries: one or two places; head: -1 for the mean; key: a place whose weight is asked for, or null.
    show(queries, head, key) {
        const {block} = this.scene, tokens = queries.map(([row, column]) => block.tokenAt(row, column))
        this.hatch(tokens)
        this.labels.forEach(label => set(label, {display: 'none'}))
        this.outlines.forEach((places, i) =>
            places.forEach(({at, outline}) => this.outline(outline, queries[i] && at(...queries[i]))))
        const {tokens: map} = this.scene.panels
        this.outline(this.keyOutline, key && map && [...map.corner(...key), map.w, map.h])
        ;[0, 1].forEach(i => this.drawArcs(i, tokens[i], head))
        for (const each of this.heads) this.fillHead(each, tokens[each.pin] ?? tokens[0])
        this.element.querySelectorAll('.head').forEach(group =>
            group.classList.toggle('chosen', Number(group.dataset.head) === head))
    }

    outline(element, place) {
        set(element, {display: place ? null : 'none'})
        if (!place) return
        const [x, y, width, height] = place, out = Math.min(width, height) > 8 ? 1 : 1.5
        for (const rect of element.children)
            set(rect, {x: x - out, y: y - out, width: width + 2 * out, height: height + 2 * out})
    }

    // The tokens of other sequences are no keys: hatched, which is not the same as a weight of zero.
    hatch(tokens) {
        const {block, panels: {tokens: panel}} = this.scene
        if (!panel) return
        const ours = new Set(tokens.map(token => token.p)), name = [...ours].join()
        if (name === this.hatched) return
        this.hatched = name
        let d = ''
        if (ours.size) for (let row = 0; row < block.rows; row++) for (let column = 0; column < block.columns; column++)
            if (!ours.has(block.tokenAt(row, column).p)) {
                const [x, y] = panel.corner(row, column)
                d += `M${x} ${y}h${panel.w}v${panel.h}h${-panel.w}z`
            }
        set(this.under, {d})
    }

    drawArcs(which, token, head) {
        const {block, layer, colours, panels} = this.scene
        const weights = token && layer.weights(token.p, token.n, head)
        ;[panels.tokens, panels.rows].forEach((panel, i) => {
            if (!panel) return
            const centre = (p, n) => {
                const [x, y] = panel.sequenceCorner ? panel.sequenceCorner(p, n) : panel.corner(...block.placeOf(p, n))
                return [x + panel.cell / 2, y + panel.cell / 2]
            }
            this.arcs[i][which].paths.forEach((path, key) => {
                const width = token ? Math.min(weights[key] * WIDEST_ARC, panel.cell * 0.8) : 0
                if (width < 0.12 || key === token.n) return set(path, {display: 'none'})
                set(path, {d: arc(centre(token.p, token.n), centre(token.p, key), panel.sequenceCorner ? 0.26 : 0.16),
                           'stroke-width': width, stroke: colours[token.p], display: null})
            })
            if (!token || i !== (panels.tokens ? 0 : 1)) return
            const key = indexOfLargest(weights), [x, y] = centre(token.p, key)
            const label = this.labels[which]
            label.textContent = percent(weights[key])
            const left = x > panel.x + panel.width - 26
            set(label, {x: left ? x - panel.cell * 0.55 : x + panel.cell * 0.55,
                        y: Math.max(y - panel.cell * 0.55, panel.y + 9), display: null,
                        'text-anchor': left ? 'end' : 'start'})
        })
    }

    fillHead({cells, corner, head, element}, token) {
        const {block, layer, weights: scale} = this.scene
        cells.forEach(cell => set(cell, {display: token ? null : 'none'}))
        if (!token) return
        layer.weights(token.p, token.n, head).forEach((weight, key) => {
            const [x, y] = corner(...block.placeOf(token.p, key)), cell = cells[key]
            cell.setAttribute('x', x)
            cell.setAttribute('y', y)
            cell.setAttribute('fill', css(scale.at(weight)))
        })
        element.dataset.shown = `${token.p},${token.n}`
    }
}

// A line around a token, with a halo, so that it shows on dark and on bright.
function outline(which) {
    return svg('g', {class: `outline ${which}`, display: 'none'}, svg('rect', {class: 'halo'}), svg('rect', {class: 'line'}))
}

// A curve that leans up, the more the farther it goes.
function arc([x0, y0], [x1, y1], bend) {
    const flip = x1 < x0 ? -1 : 1
    const [mx, my] = [(x0 + x1) / 2 + flip * bend * (y1 - y0), (y0 + y1) / 2 - flip * bend * (x1 - x0)]
    return `M${x0} ${y0}Q${mx * 2 - (x0 + x1) / 2} ${my * 2 - (y0 + y1) / 2} ${x1} ${y1}`
}
