// What of the drawing somebody has chosen; each change can be undone, and goes into the address as text.

export const FIRST = {block: null, layer: 0, head: -1, pins: [], panel: 'attention', walk: null, channel: 0,
                      whole: false, quiet: false, face: 'picture', experiment: {uniform: [], muted: [], covered: []}}

export class Store {
    constructor() {
        this.state = FIRST
        this.past = []
        this.listeners = []
    }

    listen(listener) {
        this.listeners.push(listener)
    }

    // `silent`: the listeners redraw, but there is nothing to undo.
    change(changes, {silent = false} = {}) {
        const next = {...this.state, ...changes}
        if (JSON.stringify(next) === JSON.stringify(this.state)) return
        if (!silent) this.past = [...this.past.slice(-99), this.state]
        this.state = next
        for (const listener of this.listeners) listener(changes, {silent})
    }

    undo() {
        const before = this.past.pop()
        if (!before) return
        this.state = before
        for (const listener of this.listeners) listener(before, {silent: false})
    }
}

// A state as far as this network has it: another one may have fewer blocks, layers, heads, tokens.
export function possible(state, model) {
    if (state.channel > model.most_channels) state = {...state, channel: 0}
    const block = model.blocks[state.block]
    if (!block) return {...state, block: null, layer: 0, head: -1, pins: [], experiment: FIRST.experiment}
    const layer = Math.min(state.layer, block.layers.length - 1), {uniform, muted, covered} = state.experiment
    const there = ([b, l, head = 0]) => head < (model.blocks[b]?.layers[l]?.heads ?? 0)
    const inside = ([top, left, height, width]) => top + height <= model.size && left + width <= model.size
    const kept = [uniform.filter(there), muted.filter(there), covered.filter(inside)]
    const same = kept.flat().length === uniform.length + muted.length + covered.length
    const experiment = same ? state.experiment : {uniform: kept[0], muted: kept[1], covered: kept[2]}
    return {...state, layer, experiment, head: state.head < block.layers[layer].heads ? state.head : -1,
            pins: state.pins.filter(([row, column]) => row < block.rows && column < block.columns)}
}

// The state as people count (from 1): block=3&layer=2&head=1&token=4.5&walk=5. What is as at first is left out.
export function asText(state) {
    const parts = new URLSearchParams()
    if (state.block !== null) {
        parts.set('block', state.block + 1)
        parts.set('layer', state.layer + 1)
    }
    if (state.head >= 0) parts.set('head', state.head + 1)
    if (state.pins.length) parts.set('token', state.pins.map(pin => pin.map(at => at + 1).join('.')).join('~'))
    if (state.walk !== null) parts.set('walk', state.walk + 1)
    return parts.toString()
}

// The state that a text asks for, as far as this network has it; unknown or impossible parts are left as at first.
export function fromText(words, model, steps) {
    const parts = new URLSearchParams(words), state = {...FIRST}
    const whole = (name, count) => {
        const number = Number(parts.get(name))
        return Number.isInteger(number) && number >= 1 && number <= count ? number - 1 : null
    }
    state.block = whole('block', model.blocks.length)
    state.walk = whole('walk', steps)
    if (state.block === null) return state
    const block = model.blocks[state.block]
    state.layer = whole('layer', block.layers.length) ?? block.layers.length - 1
    state.head = whole('head', block.layers[state.layer].heads) ?? -1
    state.pins = (parts.get('token') ?? '').split('~').slice(0, 2).map(pin => pin.split('.').map(at => at - 1))
        .filter(([row, column]) => Number.isInteger(row) && Number.isInteger(column)
            && row >= 0 && row < block.rows && column >= 0 && column < block.columns)
    return state
}
