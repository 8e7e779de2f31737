// Unfolding moves: each token flies from the map (time 0) into its row (1) and back into the map (2).

import {svg, set} from './elements.js'
import {tokenSquare} from './block.js'

const SECOND = 1000, SPREAD = 0.35  // the positions start one after the other, the last after this part of the time
const still = () => matchMedia('(prefers-reduced-motion: reduce)').matches

export class Flight {
    constructor(scene, time, told) {
        const {block, panels, colours, faces} = scene
        Object.assign(this, {block, told})
        this.stops = [panels.tokens, panels.rows, panels.added]
        this.stops[0] ??= this.stops[2] && {...this.stops[2]}
        this.stops[2] ??= this.stops[0]
        this.element = svg('g', {class: 'flight'})
        this.tokens = []
        if (!panels.rows) return
        this.base = panels.rows.cell
        for (let p = 0; p < block.P; p++) for (let n = 0; n < block.N; n++) {
            const [row, column] = block.placeOf(p, n)
            const square = set(tokenSquare(this.base, faces.of(row, column), colours[p]),
                               {'data-token': `${row},${column}`, 'data-row': p, 'data-place': n})
            this.tokens.push({p, n, row, column, square})
            this.element.append(square)
        }
        this.show(time)
    }

    cornerAt(stop, {p, n, row, column}) {
        const panel = this.stops[stop]
        return panel.sequenceCorner ? [...panel.sequenceCorner(p, n), panel.cell]
            : [...panel.corner(row, column), panel.cell]
    }

    show(time) {
        this.time = time
        const from = Math.min(Math.floor(time), 1), share = time - from
        for (const token of this.tokens) {
            const wait = this.block.P > 1 ? SPREAD * token.p / (this.block.P - 1) : 0
            const eased = ease(Math.min(Math.max((share - wait) / (1 - SPREAD), 0), 1))
            const [x0, y0, s0] = this.cornerAt(from, token), [x1, y1, s1] = this.cornerAt(from + 1, token)
            const between = share === 0 ? 0 : share === 1 ? 1 : eased
            const lift = -26 * Math.sin(Math.PI * between)
            const scale = (s0 + (s1 - s0) * between) / this.base
            token.square.setAttribute('transform', `translate(${x0 + (x1 - x0) * between} ` +
                `${y0 + (y1 - y0) * between + lift}) scale(${scale})`)
        }
        this.element.classList.toggle('landed', time >= 2)  // only the frames stay, over what was added
        this.told?.(time)
    }

    // To the next of the three stops, or to the one before; from the last to the first.
    step(direction) {
        const next = direction > 0 ? Math.floor(this.time + 1) : Math.ceil(this.time - 1)
        return this.flyTo(next > 2 ? 0 : next < 0 ? 2 : next)
    }

    async play() {
        this.show(0)
        const flown = this.flyTo(1), mine = this.running
        await flown
        if (mine !== this.running) return  // somebody has stopped it
        await new Promise(resolve => setTimeout(resolve, 500))
        if (mine === this.running) await this.flyTo(2)
    }

    // In about a second; at once for whoever wants no motion, or when it is not the next stop.
    flyTo(time) {
        const begin = this.time, running = this.running = {}
        if (still() || time === begin || Math.abs(time - begin) > 1 || !this.tokens.length) {
            this.show(time)
            return Promise.resolve()
        }
        return new Promise(resolve => {
            let first
            const frame = now => {
                first ??= now
                const share = Math.min((now - first) / (SECOND * Math.abs(time - begin)), 1)
                if (this.running !== running) return resolve()
                this.show(begin + (time - begin) * share)
                share < 1 ? requestAnimationFrame(frame) : resolve()
            }
            requestAnimationFrame(frame)
        })
    }

    stop() {
        this.running = null
    }
}

function ease(x) {
    return x < 0.5 ? 4 * x ** 3 : 1 - (2 - 2 * x) ** 3 / 2
}
