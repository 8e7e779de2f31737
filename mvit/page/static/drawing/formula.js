// softmax(q·k / √d) v with the numbers of one pair of tokens, as strips of their d channels.

import {svg, text, set, linesOf} from './elements.js'
import {css, number, percent, valueScale} from './colours.js'
import {indexOfLargest} from './data.js'

// The pair that is asked for, and a sentence about it; if none is asked for, the query and the key it gives most to. Of
// the mean over heads, in the head that gives most.
export function pairOf({block, layer}, query, head, wanted) {
    const {p, n} = block.tokenAt(...query)
    const other = wanted && block.tokenAt(...wanted), elsewhere = Boolean(other && other.p !== p)
    const keyIn = h => other && !elsewhere ? other.n : indexOfLargest(layer.weights(p, n, h))
    if (head < 0) head = indexOfLargest(Array.from({length: layer.heads}, (_, h) => layer.weights(p, n, h)[keyIn(h)]))
    const key = keyIn(head)
    const pair = layer.pair(p, n, key, head), place = ([row, column]) => `row ${row + 1}, column ${column + 1}`
    const words = elsewhere
        ? `${capital(place(wanted))} is in another sequence: no key of the token in ${place(query)}.`
        : `Query: the token in ${place(query)}. Key: ${place(block.placeOf(p, key))}, ` +
          `${other ? '' : 'its largest weight: '}${percent(pair.weight, 1)} in head ${head + 1}, ` +
          `where uniform attention would give ${percent(1 / block.N, 1)}.`
    return {block, words, elsewhere, head, pair, key: block.placeOf(p, key)}
}

export class Formula {
    constructor({x, y, width, d}, wide) {
        Object.assign(this, {wide, d, y, width, x})
        this.element = svg('g', {class: 'formula'})
        this.sentence = svg('text', {class: 'sentence', x, y: y + 12})
        const top = y + (wide ? 26 : 76), label = wide ? 92 : 50
        const room = wide ? Math.min(270, width * 0.22) : width - label - 40
        const cell = this.cell = Math.min(room / d, 18), height = wide ? 14 : 13
        this.strips = {}
        this.ends = {}
        const strip = (name, left, at, words) => {
            const cells = Array.from({length: d}, (_, i) => svg('rect', {
                x: left + i * cell, y: at, width: Math.max(cell - 1, 0.5), height}))
            this.strips[name] = cells
            this.element.append(text(left - 8, at + height / 2, words, {
                class: 'small', 'text-anchor': 'end', 'dominant-baseline': 'central'}), ...cells)
            this.ends[name] = text(left + d * cell + 4, at + height / 2, '', {
                class: 'small', 'dominant-baseline': 'central'})
            this.element.append(this.ends[name])
        }
        const row = height + 7
        strip('q', x + label, top, wide ? 'query q' : 'q')
        strip('k', x + label, top + row, wide ? 'key k' : 'k')
        strip('product', x + label, top + 2 * row, wide ? 'product' : 'q × k')
        if (wide) {
            const far = x + label + d * cell + 400
            strip('v', far, top + 2 * row, 'value v')
            this.element.append(text(far, top + row + 11, 'softmax(q · k / √d) v', {class: 'whole'}))
        }
        this.numbers = [0, 1, 2].map(i => text(0, 0, '', {class: 'number'}))
        const right = x + label + d * cell + 56
        this.numbers.forEach((element, i) => set(element, wide
            ? {x: right, y: top + i * row + 11} : {x, y: top + 3 * row + 14 + 17 * i}))
        this.element.append(this.sentence, ...this.numbers)
    }

    hide(hidden) {
        set(this.element, {display: hidden ? 'none' : null})
    }

    show({block, words, elsewhere, head, key, pair}) {
        this.sentence.replaceChildren(...linesOf(words, this.width, 12.5).slice(0, 4).map((line, i) =>
            svg('tspan', {x: this.x, dy: i ? 16 : 0}, line)))
        this.element.classList.toggle('empty', elsewhere)
        const ends = Math.max(...['q', 'k'].flatMap(name => [...pair[name]].map(Math.abs)))
        for (const [name, cells] of Object.entries(this.strips)) {
            const scale = valueScale(name === 'q' || name === 'k' ? [ends] : pair[name], true)
            cells.forEach((cell, i) => cell.setAttribute('fill', css(scale.at(pair[name][i]))))
            this.ends[name].textContent = `± ${number(scale.high)}`
        }
        const lines = [`q · k = ${number(pair.dot)}, the sum of these ${this.d} products`,
                       `÷ √d = √${this.d}: ${number(pair.scaled)}`,
                       `softmax over ${block.N} keys: ${percent(pair.weight, 1)} of v is taken`]
        lines.forEach((line, i) => { this.numbers[i].textContent = line })
        Object.assign(this.element.dataset, {dot: pair.dot, weight: pair.weight, head, key})
    }
}

function capital(words) {
    return words[0].toUpperCase() + words.slice(1)
}
