// What an experiment costs on many images, in words; and which layer it costs most in.

export function points(cost, {interval = false} = {}) {
    if (!cost) return null
    const said = value => `${value > 0 ? '+' : '−'}${Math.abs(100 * value).toFixed(1)}`.replace(/^[+−]0\.0$/, '0.0')
    const [low, high] = cost.change_interval_95
    return said(cost.change) + (interval ? ` (${said(low)} to ${said(high)})` : '')
}

export function costOf(costs, kind, where) {
    return costs?.[kind].find(cost => Object.entries(where).every(([name, value]) => cost[name] === value)) ?? null
}

export function measuredOn(costs) {
    return `${costs.images.toLocaleString('en')} images of the ${costs.split}`
}

// The layer in which attention matters most: by what making it uniform costs, else by how many times as large as uniform
// its largest mean weight is.
export function layerThatMatters(model) {
    const places = model.blocks.flatMap(block => block.layers.map((layer, i) => ({block: block.index, layer: i})))
    const need = ({block, layer}) => {
        const cost = costOf(model.costs, 'uniform', {block: block + 1, layer: layer + 1})
        if (cost) return -cost.change
        const {N} = model.blocks[block]
        const [p, n] = Object.values(model.blocks[block].tokenAt(...model.blocks[block].leastEven(layer)))
        return N * Math.max(...model.blocks[block].layers[layer].weights(p, n))
    }
    return places.reduce((best, place) => need(place) > need(best) ? place : best)
}
