// The answer as bars, one a class; after an experiment the new ones, with a dashed mark of the old.

import {svg, text, shortened} from './elements.js'
import {percent} from './colours.js'

// Rows of height `row` from `top` on, between x and x + width; `names` is the room for the classes' names.
export function answerBars({x, top, width, row, names, roomy}, model, result) {
    const share = result?.answer ?? model.answer, best = share.indexOf(Math.max(...share))
    const label = result ? 78 : roomy ? 50 : 42, start = x + names, full = Math.max(width - names - label, 8)
    return svg('g', {class: 'bars'}, share.map((value, i) => {
        const middle = top + (i + 0.5) * row, before = model.answer[i]
        const changed = result && Math.abs(value - before) >= 0.005
        const words = changed ? `${percent(before, 0).replace(' %', '')} → ${percent(value, 0)}`
            : roomy || i === best ? percent(value) : ''
        return svg('g', {'data-class': model.classes[i], 'data-share': value},
            names ? text(x, middle, shortened(model.classes[i], names - 6), {class: 'class-name',
                                                                           'dominant-baseline': 'central'}) : null,
            svg('rect', {x: start, y: middle - 4, width: Math.max(value * full, 0.6), height: 8, rx: 2,
                         class: i === best ? 'bar best' : 'bar'}),
            result ? svg('rect', {x: start, y: middle - 5.5, width: Math.max(before * full, 0.6), height: 11, rx: 2,
                                  class: 'bar-before'}) : null,
            text(x + width, middle, words, {class: 'small', 'text-anchor': 'end', 'dominant-baseline': 'central'}))
    }))
}
