// The drawing as a whole: puts the parts together, draws anew when the state changes, updates when a pointer moves.

import {hatching, html, svg} from './elements.js'
import {decode} from './data.js'
import {Store, asText, fromText, possible} from './state.js'
import {layOut, WIDE} from './layout.js'
import {drawOverview} from './overview.js'
import {drawBlock} from './block.js'
import {Flight} from './flight.js'
import {AttentionView} from './attention.js'
import {Formula, pairOf} from './formula.js'
import {followPointer, surface, tokenAt} from './pointer.js'
import {pressed} from './keys.js'
import {blockControls, flightControls, mapControls} from './controls.js'
import {buildExamples} from './examples.js'
import {answerAfter, buildExperiments, isChanged} from './experiments.js'
import {buildWalk, walkSteps} from './walk.js'
import {saving} from './save.js'

const EMPTY = 'There is no picture yet.'

// In an element: `props.value` is what the server sends about a picture, `watch` tells of a new one,
// `server.experiment` answers one, `trigger` tells the page of an example. All but the first two may be missing.
export function mount({element, props, watch, server, trigger, state}) {
    const root = element.querySelector('.network-drawing')
        ?? element.appendChild(html('div', {class: 'network-drawing'}))
    const drawing = new Drawing(root, {experiment: server?.experiment, trigger,
        upload: props.own ? () => document.querySelector(props.own).click() : null})
    root.drawing = drawing
    if (state) drawing.wanted = state
    drawing.load(props.value)
    watch?.('value', () => drawing.load(props.value))
    return drawing
}

class Drawing {
    constructor(root, {experiment, trigger, upload}) {
        Object.assign(this, {root, ask: experiment, trigger, upload, hovered: null, time: 1})
        this.store = new Store()
        this.store.listen((changes, how) => this.changed(changes, how))
        this.figure = html('div', {class: 'figure'})
        this.tools = html('div', {class: 'tools'})
        this.live = html('p', {class: 'unseen', 'aria-live': 'polite'})
        this.flightControls = flightControls({
            play: () => this.flight?.play(), scrub: time => { this.flight?.stop(); this.flight?.show(time) },
            back: () => this.flight?.step(-1), on: () => this.flight?.step(1)})
        root.addEventListener('keydown', event => pressed(event, this))
        new ResizeObserver(() => this.resized()).observe(root)
    }

    // ------------------------------------------------------------------ the picture and the state

    load(description) {
        if (typeof description === 'string' && description) description = JSON.parse(description)
        if (!description?.stages) {
            this.root.replaceChildren(html('p', {class: 'note'}, description?.words ?? EMPTY))
            this.description = this.model = null
            return
        }
        const first = !this.description
        const another = first || JSON.stringify(this.description.link) !== JSON.stringify(description.link)
        this.description = description
        this.model = decode(description)
        const pictures = description.examples ?? []
        this.examples = buildExamples(pictures, example => this.choose({
            example: example === pictures[0].name ? null : example}), this.upload)
        this.steps = walkSteps(this.model)
        this.walk = buildWalk(this.steps, description.probes_measured_on, step => this.go(step))
        this.maps = mapControls(this.model, this.store.state, (changes, how) => this.store.change(changes, how))
        this.experiments = buildExperiments(this.model, this.store, () => this.token)
        this.result = this.asked = this.hovered = null
        this.root.replaceChildren(this.examples.element, this.walk.element, this.figure, this.live,
            html('div', {class: 'below'}, this.maps.element, this.ask ? this.experiments.element : '', saving(this)))
        this.examples.sync(description.example)
        const state = typeof this.wanted === 'string' ? this.restored(this.wanted) : this.wanted ?? this.store.state
        this.wanted = null
        this.store.past = []
        this.store.state = possible(state, this.model)
        this.draw()
        this.experiment()
        if (another) this.tell({first})
    }

    // Another example or other weights, by name; null for those that the page begins with. What is not named stays.
    choose(names) {
        this.trigger?.('choose', names)
    }

    get state() {
        return asText(this.store.state)
    }

    set state(words) {
        if (!this.model) this.wanted = words
        else if (words !== this.state) this.store.change(this.restored(words), {silent: true})
    }

    // The state that a text asks for; a step of the walk brings what it is about.
    restored(words) {
        const state = fromText(words, this.model, this.steps.length)
        if (state.walk === null) return state
        const {state: about, time} = this.steps[state.walk]
        this.time = time ?? 1
        return state.block === null ? {...state, ...about}
            : {...state, panel: about.panel ?? state.panel, quiet: Boolean(about.quiet)}
    }

    changed(changes, {silent}) {
        this.wanted = null
        if ('block' in changes || 'layer' in changes) this.hovered = null
        if ('block' in changes && !('walk' in changes)) this.time = 1
        this.draw()
        this.experiment()  // the changes may be of what it was made in
        if (!silent) this.tell()
    }

    // Whoever keeps the address hears of it.
    tell({first = false} = {}) {
        this.root.dispatchEvent(new CustomEvent('drawing:state', {bubbles: true, detail: {
            state: this.state, link: this.description.link, first}}))
    }

    // The block that is opened, at its last layer, where most is to be seen.
    openBlock(block) {
        const layer = block === null ? 0 : this.model.blocks[block].layers.length - 1
        this.store.change({block, layer, head: -1, pins: [], panel: 'attention', quiet: false})
    }

    go(step) {
        if (step === null) return this.store.change({walk: null, quiet: false})
        const {state, time = 1, from = time} = this.steps[step]
        this.time = from
        this.store.change({...state, walk: step})
        this.flight?.flyTo(time)
    }

    // ------------------------------------------------------------------ drawing

    resized() {
        if (this.model && this.root.clientWidth && this.root.clientWidth !== this.drawnWidth) this.draw()
    }

    draw() {
        const width = this.root.clientWidth, state = this.store.state = possible(this.store.state, this.model)
        this.drawnWidth = width
        if (!width) return  // its tab is not open; it is drawn when it is
        const focused = document.activeElement?.closest?.('[data-key]')?.dataset.key
        this.walk.sync(state.walk)
        this.maps.sync(state)
        const open = state.block !== null
        this.tools.replaceChildren(open ? blockControls(this.model, state, {
            narrow: width < WIDE, flight: this.flightControls, close: () => this.openBlock(null),
            choose: changes => this.store.change(changes)}) : '')
        this.figure.replaceChildren(this.tools)
        this.layout = layOut(width, this.model, state, open ? this.tools.offsetHeight : 0)
        this.tools.style.top = `${this.layout.tools.y}px`
        this.svg = svg('svg', {width, height: this.layout.height, viewBox: `0 0 ${width} ${this.layout.height}`},
            hatching(), drawOverview(this.layout, this.model, state, {
                result: this.result, openBlock: block => this.openBlock(block)}))
        this.flight?.stop()
        this.flight = this.view = this.formula = this.scene = null
        if (open) this.drawBlock(state)
        this.figure.prepend(this.svg)
        this.experiments.sync(state, this.result, this.failed)
        if (open) this.update()
        if (focused) this.root.querySelector(`[data-key="${focused}"]`)?.focus({preventScroll: true})
    }

    drawBlock(state) {
        this.scene = drawBlock(this.layout, this.model, state)
        const {tokens} = this.scene.panels
        this.flight = new Flight(this.scene, this.time, time => {
            this.time = time
            this.flightControls.told(time)
            this.view?.element.classList.toggle('aside', time % 1 !== 0)
        })
        this.view = new AttentionView(this.scene, this.layout.overview)
        this.svg.append(this.scene.element, this.flight.element, this.view.element)
        if (this.layout.formula) {
            this.formula = new Formula(this.layout.formula, this.layout.wide)
            this.svg.append(this.formula.element)
        }
        if (tokens) this.svg.append(surface(tokens, this.scene.block.number))
        followPointer(this.svg, (x, y) => tokenAt(this.scene, this.view.heads, x, y), {
            hover: place => this.hover(place), pin: (place, how) => this.pin(place, how)})
    }

    // ------------------------------------------------------------------ tokens

    // The query: what is pinned, else what is pointed at, else the token whose attention is least even.
    get token() {
        const {pins, block, layer} = this.store.state
        return pins[0] ?? this.hovered ?? this.model.blocks[block].leastEven(layer)
    }

    hover(place) {
        if (place === this.hovered || String(place) === String(this.hovered)) return
        if (place === null && !this.store.state.pins.length) return  // the last one stays, so that it can be read
        this.hovered = place
        this.update()
    }

    pin(place, {only = false} = {}) {
        const {pins} = this.store.state, there = pins.findIndex(pin => String(pin) === String(place))
        const next = only ? [place] : there >= 0 ? pins.filter((_, i) => i !== there) : [...pins, place].slice(-2)
        this.hovered = place
        this.store.change({pins: next})
        this.say()
    }

    update() {
        const {quiet} = this.store.state  // where the walk does not speak of attention yet, unless somebody points
        if (quiet && !this.hovered && !this.store.state.pins.length) {
            this.formula?.hide(true)
            return this.view.show([], -1, null)
        }
        this.formula?.hide(false)
        const {pins, head} = this.store.state, wanted = pins.length === 1 ? this.hovered : null
        const other = wanted && String(wanted) !== String(pins[0]) ? wanted : null
        this.view.show(pins.length ? pins : [this.token], head, other)
        const pair = pairOf(this.scene, this.token, head, other)
        this.sentence = pair.words
        this.formula?.show(pair)
        this.experiments.follow()
    }

    // Lets go of what is pinned, and then closes the block.
    escape() {
        if (this.store.state.pins.length) this.store.change({pins: []})
        else this.openBlock(null)
    }

    say() {
        this.live.textContent = this.sentence ?? ''
    }

    // ------------------------------------------------------------------ experiments

    async experiment() {
        const asked = this.store.state.experiment, {description} = this
        if (asked === this.asked) return
        this.asked = asked
        const shown = this.result || this.failed
        this.result = this.failed = null
        if (this.ask && isChanged(asked)) {
            const answer = await answerAfter(this.ask, description, asked)
            if (asked !== this.asked || description !== this.description) return  // another one has been asked for
            if (answer.error) this.failed = answer.error
            else this.result = answer
        }
        if (shown || this.result || this.failed) this.draw()
    }
}
