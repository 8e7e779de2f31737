// What the server sends about one picture, unpacked; and the attention that follows from queries and keys.

function unpack(packed) {
    const bytes = bytesOf(packed.data)
    const whole = packed.bits === 8 ? bytes : new Uint16Array(bytes.buffer)
    const values = new Float32Array(whole.length), row = whole.length / packed.low.length
    for (let i = 0; i < whole.length; i++) {
        const r = Math.floor(i / row)
        values[i] = packed.low[r] + packed.step[r] * whole[i]
    }
    return {values, shape: packed.shape}
}

function bytesOf(base64) {
    return Uint8Array.from(atob(base64), character => character.charCodeAt(0))
}

export function decode(description) {
    const stages = description.stages.map(stage => ({
        ...stage, map: stage.name === 'head' ? unpack(stage.map) : featureMap(stage.map)}))
    return {
        ...description,
        pixels: bytesOf(description.picture),
        stages,
        most_channels: Math.max(...stages.map(stage => stage.map.count ?? 0)),  // of a map; 0 where none were sent
        blocks: description.blocks.map((block, i) => new Block(block, i)),
    }
}

// A feature map: its L2 norms, and its channels where they were sent. `shown(0)` are the norms, `shown(c)` channel c.
function featureMap(sent) {
    const norms = unpack(sent.norms), channels = sent.channels && unpack(sent.channels)
    const [rows, columns] = norms.shape.slice(-2), area = rows * columns
    const count = channels ? channels.shape[0] : 0
    return {rows, columns, count, shown: channel => channel && channel <= count
        ? {values: channels.values.subarray((channel - 1) * area, channel * area), signed: true}
        : {values: norms.values, signed: false}}
}

// One MobileViT block. A token is {p, n}: its position in the patch and its patch, both counted row by row.
class Block {
    constructor(sent, index) {
        Object.assign(this, {index, number: index + 1, flops: sent.flops, common: sent.common, width: sent.width,
                             channels: sent.channels, local: sent.local, fusion: sent.fusion})
        ;[this.h, this.w] = sent.patch
        ;[this.rows, this.columns] = sent.size
        this.P = this.h * this.w
        this.across = this.columns / this.w  // patches in a row of them
        this.N = this.rows * this.columns / this.P
        for (const map of ['given', 'tokens', 'added', 'added_whole', 'passed_on']) this[map] = featureMap(sent[map])
        this.found = []
        this.layers = sent.layers.map(layer => new Layer(unpack(layer.qkv)))
    }

    tokenAt(row, column) {
        return {p: (row % this.h) * this.w + column % this.w,
                n: Math.floor(row / this.h) * this.across + Math.floor(column / this.w)}
    }

    placeOf(p, n) {
        return [Math.floor(n / this.across) * this.h + Math.floor(p / this.w), (n % this.across) * this.w + p % this.w]
    }

    // Where attention is least even: the place with the largest weight of a layer, over the mean of its heads.
    leastEven(layer = this.layers.length - 1) {
        return this.found[layer] ??= this.findLeastEven(layer)
    }

    findLeastEven(layer) {
        let best = [0, 0], most = -1
        for (let p = 0; p < this.P; p++) for (let n = 0; n < this.N; n++) {
            const peak = Math.max(...this.layers[layer].weights(p, n))
            if (peak > most) [best, most] = [this.placeOf(p, n), peak]
        }
        return best
    }
}

class Layer {
    constructor({values, shape}) {
        this.values = values
        ;[, this.P, this.N, this.heads, this.d] = shape
    }

    // Which of "qkv" (0, 1, 2) of a token in a head: its d numbers.
    vector(which, p, n, head) {
        const at = (((which * this.P + p) * this.N + n) * this.heads + head) * this.d
        return this.values.subarray(at, at + this.d)
    }

    // softmax(q k^T / sqrt(d)): what token n of sequence p gives to each of its N keys; by default the heads' mean.
    weights(p, n, head = -1) {
        if (head < 0) {
            const mean = new Float32Array(this.N)
            for (let each = 0; each < this.heads; each++)
                this.weights(p, n, each).forEach((weight, key) => { mean[key] += weight / this.heads })
            return mean
        }
        const query = this.vector(0, p, n, head), weights = new Float32Array(this.N)
        let sum = 0, highest = -Infinity
        for (let key = 0; key < this.N; key++) {
            weights[key] = dot(query, this.vector(1, p, key, head)) / Math.sqrt(this.d)
            highest = Math.max(highest, weights[key])
        }
        for (let key = 0; key < this.N; key++) sum += weights[key] = Math.exp(weights[key] - highest)
        return weights.map(weight => weight / sum)
    }

    // The largest weight of any token in any head, which the colours' scale ends at.
    get largest() {
        if (this.most === undefined) {
            this.most = 0
            for (let p = 0; p < this.P; p++) for (let n = 0; n < this.N; n++)
                for (let head = 0; head < this.heads; head++)
                    this.most = Math.max(this.most, ...this.weights(p, n, head))
        }
        return this.most
    }

    // How one weight came about: the vectors, their product, and the numbers on the way.
    pair(p, query, key, head) {
        const [q, k, v] = [this.vector(0, p, query, head), this.vector(1, p, key, head), this.vector(2, p, key, head)]
        const product = q.map((number, i) => number * k[i]), sum = dot(q, k)
        return {q, k, v, product, dot: sum, scaled: sum / Math.sqrt(this.d), weight: this.weights(p, query, head)[key]}
    }
}

function dot(a, b) {
    let sum = 0
    for (let i = 0; i < a.length; i++) sum += a[i] * b[i]
    return sum
}

export function indexOfLargest(values) {
    let best = 0
    for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i
    return best
}
