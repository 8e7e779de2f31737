// Pointer and touch on the tokens: what is hovered and pinned.

import {svg} from './elements.js'

// Over the map's tokens, what the keys and readers of the screen go to.
export function surface({x, y, width, height}, number) {
    return svg('rect', {x, y, width, height, class: 'surface', tabindex: 0, role: 'application', 'data-key': 'tokens',
        'aria-label': `The tokens of block ${number}: arrow keys move, Enter pins, Escape lets go`})
}

// The token under a point of the drawing, as [row, column]; null where there is none.
export function tokenAt({panels, block}, heads, x, y) {
    for (const panel of [panels.tokens, panels.added, panels.passed_on, panels.given, ...heads]) {
        const grid = panel?.grid ?? panel
        if (!panel || x < panel.x || y < panel.y || x >= panel.x + panel.width || y >= panel.y + panel.height) continue
        const row = Math.floor((y - panel.y) / grid.h), column = Math.floor((x - panel.x) / grid.w)
        if (row < block.rows && column < block.columns) return [row, column]
    }
    return panels.rows ? tokenInRows(panels.rows, block, x, y) : null
}

function tokenInRows(panel, block, x, y) {
    const right = panel.x + panel.width, bottom = panel.y + panel.height
    if (x < panel.x - 4 || y < panel.y - 4 || x > right + 4 || y > bottom + 4) return null
    let best = null, nearest = (panel.cell * 0.5 + 12) ** 2
    for (let p = 0; p < block.P; p++) for (let n = 0; n < block.N; n++) {
        const [left, top] = panel.sequenceCorner(p, n)
        const distance = (left + panel.cell / 2 - x) ** 2 + (top + panel.cell / 2 - y) ** 2
        if (distance < nearest) [best, nearest] = [block.placeOf(p, n), distance]
    }
    return best
}

// On the drawing's element: hover(place or null), pin(place). On a phone a finger that is dragged hovers, a tap pins.
export function followPointer(element, find, {hover, pin}) {
    const at = event => {
        const box = element.getBoundingClientRect()
        return find(event.clientX - box.left, event.clientY - box.top)
    }
    let began = null
    element.addEventListener('pointerdown', event => {
        began = at(event) ? {x: event.clientX, y: event.clientY, place: at(event)} : null
        if (began) hover(began.place)
    })
    element.addEventListener('pointermove', event => hover(at(event)))
    element.addEventListener('pointerleave', () => hover(null))
    element.addEventListener('pointerup', event => {
        const place = at(event), moved = began && Math.hypot(event.clientX - began.x, event.clientY - began.y)
        if (began && place && moved < 10) pin(place)
        else if (event.pointerType !== 'mouse' && began && place) pin(place, {only: true})
        began = null
    })
}
