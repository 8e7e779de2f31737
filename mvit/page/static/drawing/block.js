// One block, opened: its five steps from the map that it is given to the map that it passes on.

import {svg, text, paragraph, linesOf, picture, pixelsURL} from './elements.js'
import {css, number, percent, positionColours, valueScale, weightScale} from './colours.js'
import {colourBar} from './colourbar.js'
import {mapCells} from './layout.js'
import {megaflops} from './overview.js'

export function drawBlock(layout, model, state) {
    const block = model.blocks[state.block], {panels} = layout.block
    const scene = {block, panels, layer: block.layers[Math.min(state.layer, block.layers.length - 1)],
                   colours: positionColours(block.P), faces: tokenFaces(block, model, state),
                   element: svg('g', {class: 'block'})}
    const add = (...parts) => scene.element.append(...parts.flat().filter(Boolean))
    if (layout.wide) add(...links(layout.block, block))
    if (panels.given) add(mapPanel(panels.given, block.given, state, ['Input', shapeOf(block, block.channels)], layout))
    if (panels.tokens) add(...tokenPanel(scene, model, state, layout))
    if (panels.rows) add(...rowsPanel(scene))
    if (panels.heads) add(...headsPanel(scene, state, layout))
    if (panels.added) add(...addedPanel(scene, state, layout))
    if (panels.passed_on) add(mapPanel(panels.passed_on, block.passed_on, state,
        [fusionOf(block), megaflops(block.flops.fusion)], layout, true))
    return scene
}

function shapeOf(block, channels) {
    return `${block.given.rows} × ${block.given.columns} × ${channels}`
}

function heading(panel, title, below, room = panel.width) {
    return svg('g', {}, paragraph(panel.x, panel.header + 12, room, title, {class: 'step', weight: 700}),
        below ? text(panel.x, panel.y - 8, below, {class: 'small'}) : null)
}

// Of a convolution of the block: 3 × 3 in the paper's.
export const sides = ({side}) => `${side} × ${side}`

function convolutionsOf({local}) {
    return `${sides(local)} ${local.depthwise ? 'depthwise, then' : 'and'} 1 × 1${local.depthwise ? '' : ' convolution'}`
}

function fusionOf({fusion}) {
    return `Concatenate, ${sides(fusion)} convolution${fusion.version === 3 ? ', add the input' : ''}`
}

// Arrows from panel to panel, and the way of the input around the transformer to where it is used again.
function links({panels: {given, tokens, rows, heads, added, passed_on: passedOn}, bottom}, block) {
    const between = [given, tokens, rows, heads, added, passedOn]
    const arrows = between.slice(1).map((panel, i) => {
        const from = between[i].x + between[i].width + 6, to = panel.x - 6, y = tokens.y + tokens.height / 2
        return svg('path', {class: 'link', d: `M${from} ${y}H${to}m-5 -4l5 4l-5 4`})
    })
    const low = tokens.y + tokens.height + 40, right = passedOn.x + passedOn.width / 2
    return [...arrows, svg('path', {class: 'link skip', d:
        `M${given.x + given.width / 2} ${given.y + given.height + 34}V${low - 8}q0 8 8 8H${right - 8}q8 0 8 -8` +
        `V${passedOn.y + passedOn.height + 34}m-4 5l4 -5l4 5`}),
        text(rows.x, low - 5, `the input goes around, to be ${block.fusion.version === 3 ? 'added' : 'concatenated'}`,
             {class: 'small'})]
}

// --------------------------------------------------------------------------- maps

function mapPanel(panel, map, state, [title, below], layout, withBar = false) {
    const shown = map.shown(state.channel), scale = valueScale(shown.values, shown.signed)
    panel.grid = mapCells(panel, map)
    return svg('g', {'data-panel': panel.name}, heading(panel, title, below, panel.width),
        picture(panel.x, panel.y, panel.width, panel.height,
                pixelsURL(map.columns, map.rows, i => scale.at(shown.values[i])), {class: 'map'}),
        withBar || !layout.wide ? colourBar(panel, scale, shown.signed ? `channel ${state.channel}` : 'L2 norm') : null)
}

// --------------------------------------------------------------------------- tokens

// Each token as a square: inside, what is there; its frame, the colour of its position in the patch.
function tokenFaces(block, model, state) {
    if (state.face === 'values') {
        const map = block.tokens, shown = map.shown(state.channel), scale = valueScale(shown.values, shown.signed)
        const at = (row, column) => Math.floor(row * map.rows / block.rows) * map.columns +
            Math.floor(column * map.columns / block.columns)  // of a large map averages are sent
        return {scale, signed: shown.signed, of: (row, column) => css(scale.at(shown.values[at(row, column)]))}
    }
    const {size, pixels} = model
    return {of(row, column) {
        const sum = [0, 0, 0]
        const [top, bottom] = [row, row + 1].map(at => Math.round(at * size / block.rows))
        const [left, right] = [column, column + 1].map(at => Math.round(at * size / block.columns))
        const [b, r] = [Math.max(bottom, top + 1), Math.max(right, left + 1)]
        for (let y = top; y < b; y++) for (let x = left; x < r; x++)
            for (let c = 0; c < 3; c++) sum[c] += pixels[3 * (Math.min(y, size - 1) * size + Math.min(x, size - 1)) + c]
        return css(sum.map(value => value / ((b - top) * (r - left))))
    }}
}

export function tokenSquare(panelCell, face, colour) {
    const frame = Math.max(1, Math.min(3, panelCell * 0.14))
    const inside = panelCell - Math.min(2, panelCell * 0.12)
    return svg('rect', {x: frame / 2, y: frame / 2, width: Math.max(inside - frame, 0.5),
                        height: Math.max(inside - frame, 0.5), rx: panelCell > 10 ? 2 : 0, fill: face,
                        stroke: colour, 'stroke-width': frame})
}

function tokenPanel(scene, model, state, layout) {
    const {panels: {tokens: panel}, block, colours} = scene
    panel.grid = mapCells(panel, block)
    const squares = svg('g', {class: 'tokens'})
    for (let row = 0; row < block.rows; row++) for (let column = 0; column < block.columns; column++) {
        const [x, y] = panel.corner(row, column), {p} = block.tokenAt(row, column)
        const square = tokenSquare(panel.cell, scene.faces.of(row, column), colours[p])
        square.setAttribute('transform', `translate(${x} ${y})`)
        squares.append(square)
    }
    return [heading(panel, convolutionsOf(block),
                    `${block.rows} × ${block.columns} × ${block.width}, ${megaflops(block.flops.convolution)}`,
                    panel.width + 26),
            patchLines(panel, block), squares,
            scene.faces.scale ? colourBar(panel, scene.faces.scale, scene.faces.signed
                ? `channel ${state.channel}` : 'L2 norm') : positionKey(panel, block, colours)]
}

function patchLines(panel, {rows, columns, h, w}) {
    let d = ''
    for (let row = h; row < rows; row += h) d += `M${panel.x} ${panel.y + row * panel.h - 0.5}h${panel.width}`
    for (let column = w; column < columns; column += w)
        d += `M${panel.x + column * panel.w - 0.5} ${panel.y}v${panel.height}`
    return svg('path', {class: 'patches', d})
}

function positionKey({x, y, height}, {P, h, w}, colours) {
    const cell = Math.min(9, 22 / Math.max(h, w)), top = y + height + 9
    return svg('g', {}, colours.map((colour, p) => svg('rect', {
        x: x + (p % w) * cell, y: top + Math.floor(p / w) * cell, width: cell - 1, height: cell - 1, fill: colour})),
        text(x + w * cell + 7, top + (h * cell) / 2, P > 1 ? `position in the patch of ${h} × ${w}`
            : 'patches of 1 × 1: one position', {class: 'small', 'dominant-baseline': 'central'}))
}

function rowsPanel(scene) {
    const {panels: {rows: panel}, block, colours} = scene
    const ghosts = svg('g', {class: 'ghosts'})
    for (let p = 0; p < block.P; p++) for (let n = 0; n < block.N; n++) {
        const [x, y] = panel.sequenceCorner(p, n), side = panel.cell - Math.min(2, panel.cell * 0.12)
        ghosts.append(svg('rect', {x, y, width: side, height: side, rx: panel.cell > 10 ? 2 : 0, fill: colours[p]}))
    }
    return [heading(panel, 'Unfold', `${block.P} sequence${block.P > 1 ? 's' : ''} of ${block.N} tokens`), ghosts]
}

// --------------------------------------------------------------------------- attention and what comes of it

function headsPanel(scene, state, layout) {
    const {panels: {heads: panel}, block, layer} = scene
    scene.weights = weightScale(layer.largest)
    const two = state.pins.length > 1
    panel.places = placesOfHeads(panel, layer.heads, two, layout.wide)
    const of = block.layers.length > 1 ? `, layer ${state.layer + 1} of ${block.layers.length}` : ''
    const flops = `q·k and sums ${number(block.flops.attention / 1e6)} of ${megaflops(block.flops.transformer)}`
    return [heading(panel, `Attention${of}`, layout.wide ? flops : null, panel.width + 20),
            colourBar(layout.wide ? panel : {...panel, height: panel.height - 4}, scene.weights, 'attention weight',
                      {mark: {value: 1 / block.N}})]
}

// A map for each head (and each of two pins): in a square as wide as it goes, or in one row.
function placesOfHeads({x, y, width, height}, heads, two, wide) {
    const count = heads * (two ? 2 : 1)
    const columns = wide ? Math.ceil(Math.sqrt(count)) + (two && heads > 2 ? 1 : 0) : Math.min(count, 4)
    const across = two ? Math.max(2, columns - columns % 2) : columns, down = Math.ceil(count / across)
    const label = 13, gap = 8
    const side = Math.min((width - gap * (across - 1)) / across, (height - label * down - 2 * (down - 1)) / down)
    const rest = (width - across * side) / Math.max(across - 1, 1)
    return Array.from({length: count}, (_, i) => {
        const head = two ? Math.floor(i / 2) : i
        return {head, pin: two ? i % 2 : 0, x: x + (i % across) * (side + (across > 1 ? rest : 0)),
                y: y + Math.floor(i / across) * (side + label + 2) + label, width: side, height: side}
    })
}

function addedPanel(scene, state, layout) {
    const {panels: {added: panel}, block} = scene
    const map = state.whole ? block.added_whole : block.added
    const shown = map.shown(state.whole ? 0 : state.channel), scale = valueScale(shown.values, shown.signed)
    panel.grid = mapCells(panel, block)
    const share = percent(block.common, 1)
    const words = `Of what the transformer adds to the tokens, ${share} (by squared norm) is one vector, ` +
        `the same at every token${state.whole ? '; it is shown with the rest.' : '; Fold shows the rest.'}`
    const below = state.whole ? 'all that is added' : 'added, without the common vector'
    const room = layout.wide ? panel.width + 8 : layout.width - panel.x, lines = linesOf(below, room, 11).length
    return [heading(panel, 'Fold', null),
            paragraph(panel.x, panel.y - 8 - 14 * (lines - 1), room, below, {class: 'small', size: 11, lead: 1.27}),
            layout.wide ? text(0, layout.block.bottom - 4, words, {class: 'small'}) : state.walk !== null ? null
                : paragraph(panel.x - 30, panel.y + panel.height + 44, panel.width + 60, words, {
                    class: 'small', size: 11, lead: 1.27}),
            picture(panel.x, panel.y, panel.width, panel.height,
                    pixelsURL(map.columns, map.rows, i => scale.at(shown.values[i])), {class: 'map'}),
            colourBar(panel, scale, shown.signed ? `channel ${state.channel}` : 'L2 norm')]
}
