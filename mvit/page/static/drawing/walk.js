// The guided walk: captions over the drawing, each with the state that it speaks about and this picture's numbers.

import {sides} from './block.js'
import {html} from './elements.js'
import {number, percent} from './colours.js'
import {costOf, layerThatMatters, measuredOn, points} from './costs.js'
import {indexOfLargest} from './data.js'

const thousands = count => count.toLocaleString('en')

// Steps: title, text, state, and to which stop the tokens fly.
export function walkSteps(model) {
    const at = layerThatMatters(model), block = model.blocks[at.block], layer = block.layers[at.layer]
    const token = block.leastEven(at.layer), {p, n} = block.tokenAt(...token)
    const weights = layer.weights(p, n), key = indexOfLargest(weights.map((weight, i) => i === n ? -1 : weight))
    const [row, column] = block.placeOf(p, key)
    const open = {block: at.block, layer: at.layer, head: -1, pins: [], whole: false, channel: 0, face: 'picture',
                  quiet: false}
    const stem = model.stages[0], size = model.size, tokens = block.P * block.N
    const cost = costOf(model.costs, 'uniform', {block: block.number, layer: at.layer + 1})
    const norms = block.added.shown(0).values
    const best = indexOfLargest(model.answer)
    const probes = model.stages.filter(stage => stage.probe)
    const knows = probes.find(stage => stage.probe.says === model.classes[best])
    return [
        {title: 'Why convolution', state: {block: null, pins: [], channel: 0}, text:
            `A convolution computes each number of a feature map from the 3 × 3 places around it. The stem makes ` +
            `${stem.shape.at(-1)} channels of the ${size} × ${size} pixels: each answers to a small pattern, such as ` +
            `an edge. To the right the maps grow coarser. Bright is a large L2 norm, the length of a place's vector ` +
            `of channels.`},
        {title: 'Why attention', state: {...open, panel: 'attention'}, text:
            `Convolutions pass on what lies next to them; to reach far takes many of them. With ` +
            `attention a place of the map, called a token, takes from any distance at once. Here is block ` +
            `${block.number}, where ` + (cost ? `it matters most: if layer ${at.layer + 1} attended uniformly, accuracy ` +
            `would change by ${points(cost)} points (${measuredOn(model.costs)}).` : 'its weights are least even.')},
        {title: 'Patches', state: {...open, panel: 'convolution', quiet: true}, time: 0, text:
            `The block's feature map, ${block.rows} × ${block.columns} tokens, is cut into ${block.N} patches of ` +
            `${block.h} × ${block.w}. ` + (block.P === 1 ? `Each token attends to all: one head of one layer has ` +
            `${thousands(tokens ** 2)} attention weights.` : `The colour of a token is its position in the patch. If ` +
            `each token attends to its own colour only, one head of one layer has ` +
            `${thousands(block.P * block.N ** 2)} attention weights instead of ${thousands(tokens ** 2)}.`) +
            ` In the whole network these, and the sums that they weight, take ` +
            `${number(model.attention_flops / 1e6)} million operations (MFLOPs)` + (model.attention_flops <
            model.attention_flops_unpatched ? ` instead of ${number(model.attention_flops_unpatched / 1e6)}` : '') +
            `; all of it takes ${number(model.flops / 1e6)}.`},
        {title: 'Unfold', state: {...open, panel: 'unfold', quiet: true}, time: 1, from: 0, text:
            block.P === 1 ? `Patches of one token make one sequence of all ${block.N}: unfolding only puts the map's ` +
            `rows one after another.` :
            `Unfolding sorts the tokens by colour into ${block.P} sequences of ${block.N}. Each sequence has one ` +
            `token of every patch, so that it spans the whole picture. What lies between its tokens it knows only ` +
            `from the convolutions before, which mixed each token with its neighbours.`},
        {title: 'Attend', state: {...open, pins: [token], panel: 'attention'}, time: 1, text:
            `The outlined token is the query. It is compared with the key of every token of its sequence; softmax ` +
            `makes attention weights of that, which sum to 100 %, and with them it takes the mean of their values. ` +
            `The thickest arc, ${percent(weights[key])}, goes to row ${row + 1}, column ${column + 1}` +
            (weights[n] > weights[key] ? ` (the token itself has ${percent(weights[n])})` : '') + `; uniform ` +
            `attention would give ${percent(1 / block.N)} to each.` +
            (block.P > 1 ? ' Hatched tokens are in other sequences.' : '')},
        {title: 'Fold', state: {...open, panel: 'fold', quiet: true}, time: 2, from: 1, text:
            `Folding puts the tokens back. Of what the transformer adds to them, ${percent(block.common, 1)} is one ` +
            `vector, the same at every token; the map shows the rest, L2 norms of ${number(Math.min(...norms))} to ` +
            `${number(Math.max(...norms))}. ${fusion(block)}`},
        {title: 'Answer', state: {block: null, pins: []}, text:
            `The head makes ${model.stages.at(-1).shape[0]} channels of the last map and averages each; a linear layer ` +
            `makes the answer of these averages: ${model.classes[best]}, ${percent(model.answer[best])}.` +
            (probes.length ? ` The bars below each map are linear probes: classifiers trained on the averages of that ` +
            `map alone. ` + (knows ?
            `Already the one on ${named(knows)} says ${model.classes[best]}.` :
            `None of them says ${model.classes[best]}.`) : '')},
        {title: 'Now you', state: {...open, panel: 'attention'}, time: 1, text:
            `Point at a token; click to pin it, and another to compare. Open another block, choose a layer and a ` +
            `head. Then experiment below: make attention uniform, mute a head, cover a patch. What does the network ` +
            `say now?`},
    ]
}

// How a block ends: the paper's, or MobileViTv3's.
function fusion(block) {
    return block.fusion.version === 3 ?
        `It is concatenated with what the block's convolution gave, a ${sides(block.fusion)} convolution mixes both at every ` +
        `token, and the block's input is added.` :
        `It is concatenated with the block's input, and a ${sides(block.fusion)} convolution mixes ` +
        `${block.fusion.side > 1 ? 'neighbours, of whatever colour' : 'both at every token'}.`
}

function named({name}) {
    return name.startsWith('block') ? name : `the ${name}`
}

// A button with a word, or on a phone with a sign.
function short(word, sign, click) {
    return html('button', {type: 'button', class: 'plain', 'aria-label': word, click},
        html('span', {class: 'word'}, word), html('span', {class: 'sign'}, sign))
}

// The captions: built once for a picture, then told which step is open.
export function buildWalk(steps, measuredOn, go) {
    const probes = measuredOn ? 'The bars below each feature map are what a linear probe, a classifier trained on ' +
        `that map alone, makes of it; how often it is right is of the ${measuredOn}. ` : ''
    const heading = html('h2', {}), words = html('p', {'aria-live': 'polite'})
    const numbers = steps.map((step, i) => html('button', {type: 'button', class: 'step-number', click: () => go(i),
        'aria-label': `${i + 1}: ${step.title}`}, html('span', {class: 'digit'}, String(i + 1)),
        html('span', {class: 'name'}, step.title)))
    // Where the button that was pressed cannot be pressed again, the focus goes to the next that can.
    const goTo = (step, ...focus) => {
        go(step)
        focus.find(each => !each.hidden && !each.disabled)?.focus()
    }
    const back = short('Back', '‹', () => goTo(open() - 1, back, next))
    const next = html('button', {type: 'button', class: 'main', click: () => goTo(open() + 1, next, back)}, 'Next')
    const leave = short('Leave', '×', () => goTo(null, start))
    const start = html('button', {type: 'button', class: 'main', click: () => goTo(0, next)}, 'Take the walk')
    const open = () => numbers.findIndex(each => each.hasAttribute('aria-current'))
    const element = html('section', {class: 'walk', 'aria-label': 'Guided walk'},
        html('div', {class: 'caption'}, heading, words),
        html('div', {class: 'steps'}, start, back, html('div', {class: 'numbers'}, ...numbers), next, leave))
    return {element, sync(step) {
        const here = step === null ? null : steps[Math.min(step, steps.length - 1)]
        element.classList.toggle('walking', here !== null)
        heading.textContent = here ? here.title : 'The network, live'
        const said = here ? here.text : `A picture goes through the network from left to right. ${probes}Open a ` +
            'block, or take the walk.'
        if (words.textContent !== said) words.textContent = said
        numbers.forEach((each, i) => here === steps[i] ? each.setAttribute('aria-current', 'step')
                                                      : each.removeAttribute('aria-current'))
        for (const each of [back, next, leave]) each.hidden = !here
        start.hidden = Boolean(here)
        back.disabled = step === 0
        next.hidden = !here || here === steps.at(-1)
    }}
}
