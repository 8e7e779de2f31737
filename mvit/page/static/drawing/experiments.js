// Experiments: what the network says when a layer attends uniformly, a head is mute, a patch is covered.

import {html, svg} from './elements.js'
import {answerBars} from './bars.js'
import {percent} from './colours.js'
import {toggle} from './controls.js'
import {costOf, measuredOn, points} from './costs.js'
import {indexOfLargest} from './data.js'

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b)
const flipped = (places, place) =>
    places.some(each => same(each, place)) ? places.filter(each => !same(each, place)) : [...places, place]

export function isChanged(experiment) {
    return Object.values(experiment).some(places => places.length > 0)
}

// What the server answers to an experiment: {answer, best}, or {error}, a sentence.
export async function answerAfter(ask, description, change) {
    try {
        return await ask({subject: description.subject, change, classes: description.class_indices})
    } catch {
        return {error: 'The server did not answer. Try again.'}
    }
}

// The part of the picture that a token's patch stands for: [row, column, height, width] in pixels.
function patchInPicture(block, size, [row, column]) {
    const span = (at, side, count) => {
        const first = Math.floor(at / side) * side
        const [from, to] = [first, first + side].map(edge => Math.min(Math.round(edge * size / count), size))
        return [from, Math.max(to - from, 1)]
    }
    const [top, height] = span(row, block.h, block.rows), [left, width] = span(column, block.w, block.columns)
    return [top, left, height, width]
}

export function buildExperiments(model, store, token) {
    const buttons = html('div', {class: 'buttons'}), outcome = html('p', {class: 'outcome', 'aria-live': 'polite'})
    const bars = html('div', {class: 'bars-beside'})
    const note = model.costs ? html('p', {class: 'note'},
        `Points: by how much accuracy changes with each experiment on ${measuredOn(model.costs)}, of which the ` +
        `network has ${percent(model.costs.accuracy, 1)} right; 95 % intervals in brackets.`) : null
    const element = html('section', {class: 'experiments', 'aria-label': 'Experiments'},
        html('h2', {}, 'Experiments'),
        html('div', {class: 'bench'}, html('div', {}, buttons, note), html('div', {}, bars, outcome)))
    const flip = (kind, place) => () => {
        const {experiment} = store.state
        store.change({experiment: {...experiment, [kind]: flipped(experiment[kind], place)}})
    }
    const remark = (kind, where) => points(costOf(model.costs, kind, where), {interval: true})
    let follow = () => {}  // what to do when another token is pointed at

    function sync(state, result, failed) {
        const {experiment, block, layer} = state
        if (block === null) {
            follow = () => {}
            buttons.replaceChildren(html('p', {class: 'note'}, 'Open a block to experiment with its attention.'))
        } else {
            const opened = model.blocks[block], heads = opened.layers[layer].heads
            const on = (kind, place) => experiment[kind].some(each => same(each, place))
            const every = model.blocks.flatMap(each => each.layers.map((_, i) => [each.index, i]))
            const all = every.every(place => on('uniform', place))
            const patch = () => patchInPicture(opened, model.size, token())
            const ofPatch = remark('covered', {patch: patch()[2]})
            const cover = toggle('the patch of the token', on('covered', patch()), () => flip('covered', patch())(), {
                remark: ofPatch && `${ofPatch} for a random one`})
            follow = () => cover.setAttribute('aria-pressed', String(on('covered', patch())))
            const everywhere = points(model.costs?.uniform_everywhere, {interval: true})
            buttons.replaceChildren(
                row('Make attention uniform',
                    toggle(`in layer ${layer + 1}`, on('uniform', [block, layer]), flip('uniform', [block, layer]),
                           {remark: remark('uniform', {block: block + 1, layer: layer + 1})}),
                    toggle('in all blocks', all, () =>
                        store.change({experiment: {...experiment, uniform: all ? [] : every}}), {remark: everywhere})),
                row(`Mute a head of layer ${layer + 1}`, ...Array.from({length: heads}, (_, head) => toggle(
                    `${head + 1}`, on('muted', [block, layer, head]), flip('muted', [block, layer, head]), {
                        label: `Mute head ${head + 1}`,
                        remark: remark('muted', {block: block + 1, layer: layer + 1, head: head + 1})}))),
                row('Cover in the picture', cover),
                isChanged(experiment) ? html('button', {type: 'button', class: 'plain', click: () => {
                    store.change({experiment: {uniform: [], muted: [], covered: []}})
                    buttons.querySelector('button').focus()  // this one is gone
                }}, 'Undo all experiments') : '')
        }
        outcome.textContent = failed ?? (result ? sentence(model, result) : '')
        const width = Math.min(element.clientWidth, 380)
        if (width) bars.replaceChildren(svg('svg', {width, height: model.classes.length * 15, role: 'img',
            'aria-label': outcome.textContent || 'The answer'}, answerBars(
            {x: 0, top: 0, width, row: 15, names: 90, roomy: true}, model, result)))
    }
    return {element, sync, follow: () => follow()}
}

function row(words, ...buttons) {
    return html('div', {class: 'row'}, html('span', {class: 'row-label'}, words), ...buttons)
}

function sentence(model, {answer, best}) {
    const was = indexOfLargest(model.answer), name = model.classes[was]
    const said = `${name}: ${percent(model.answer[was], 1)} before, ${percent(answer[was], 1)} now.`
    return best.name === name ? said : `${said} The network now says ${best.name}, ${percent(best.share, 1)}.`
}
