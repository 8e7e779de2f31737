// A scale's colours below what it colours, with the numbers at its ends.

import {svg, text, picture, pixelsURL} from './elements.js'
import {number, percent} from './colours.js'

const NARROW = 60  // pixels: two numbers do not fit side by side below a bar, and stand below each other

export function colourBar({x, y, width, height}, scale, words, {below = 8, mark} = {}) {
    const top = y + height + below
    const url = pixelsURL(64, 1, i => scale.at(scale.low + (scale.high - scale.low) * i / 63))
    const at = mark && x + width * (mark.value - scale.low) / (scale.high - scale.low)
    return svg('g', {class: 'colour-bar'},
        picture(x, top, width, 6, url),
        width < NARROW
            ? [text(x, top + 17, rounded(scale.low), {class: 'small'}),
               text(x + width, top + 28, rounded(scale.high), {class: 'small', 'text-anchor': 'end'})]
            : [text(x, top + 17, endOf(scale, scale.low), {class: 'small'}),
               text(x + width, top + 17, endOf(scale, scale.high), {class: 'small', 'text-anchor': 'end'})],
        !words ? null : width > 96 ? text(x + width / 2, top + 17, words, {class: 'small', 'text-anchor': 'middle'})
            : text(x, top + 30, words, {class: 'small'}),
        mark ? svg('path', {class: 'mark', d: `M${at} ${top - 2}v10`}) : null)
}

function rounded(value) {
    return String(Number(value.toPrecision(2))).replace('-', '−')
}

function endOf(scale, value) {
    return scale.kind === 'attention weight' ? percent(value, 0) : number(value)
}
