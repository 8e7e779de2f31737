// The controls of an open block: layer, head, panels on a phone, the flight of the tokens. Ordinary inputs of HTML.

import {html} from './elements.js'
import {costOf, points} from './costs.js'

let groups = 0

// Some choices of which one holds: [[words, value, remark], …].
function choice(label, options, chosen, choose, classes = '') {
    const name = `network-drawing-${groups++}`
    const option = ([words, value, remark]) => html('label', {},
        html('input', {type: 'radio', name, checked: value === chosen, 'data-key': `${label} ${value}`,
                       change: () => choose(value)}),
        html('span', {}, words, remark ? html('small', {}, remark) : null))
    return html('fieldset', {class: `choice ${classes}`}, html('legend', {}, label), ...options.map(option))
}

export function toggle(words, on, flip, {remark, label} = {}) {
    return html('button', {type: 'button', class: 'toggle', 'aria-pressed': String(on), 'aria-label': label,
                           'data-key': label ?? words, click: flip}, words, remark ? html('small', {}, remark) : null)
}

export function blockControls(model, state, {choose, close, flight, narrow}) {
    const block = model.blocks[state.block], layer = block.layers[state.layer]
    const layers = block.layers.map((_, i) => {
        const cost = costOf(model.costs, 'uniform', {block: block.number, layer: i + 1})
        return [String(i + 1), i, cost && `${points(cost)} points if uniform`]
    })
    const flies = !narrow || ['unfold', 'fold'].includes(state.panel)
    if (narrow && state.walk !== null)  // whose captions need the room
        return flies ? html('div', {class: 'controls'}, flight.element) : ''
    return html('div', {class: 'controls'},
        html('h2', {}, `Block ${block.number}`),
        narrow ? choice('Step', ['Convolution', 'Unfold', 'Attention', 'Fold', 'Output'].map(step =>
            [step, step.toLowerCase()]), state.panel, panel => choose({panel}), 'panels') : null,
        choice('Layer', layers, state.layer, layer => choose({layer})),
        choice('Head', [['mean', -1], ...Array.from({length: layer.heads}, (_, i) => [String(i + 1), i])],
               state.head, head => choose({head})),
        flies ? flight.element : null,
        html('button', {type: 'button', class: 'plain close', click: close, 'data-key': `stage-${block.number}`,
                        'aria-label': `Close block ${block.number}`}, 'Close'))
}

// Play, step and scrub; `time` is 0 in the map, 1 in the rows, 2 back in the map.
export function flightControls(actions) {
    const scrub = html('input', {type: 'range', min: 0, max: 2, step: 0.01, value: 1, 'data-key': 'flight', 'aria-label':
        'Tokens: in the map, in their sequences, back in the map', input: () => actions.scrub(Number(scrub.value))})
    const button = (words, label, click) =>
        html('button', {type: 'button', class: 'plain icon', 'aria-label': label, title: label, 'data-key': label,
                        click}, words)
    const element = html('fieldset', {class: 'flight-controls'}, html('legend', {}, 'Unfold and fold'),
        button('▶', 'Play unfolding and folding', actions.play),
        button('‹', 'One step back', actions.back), scrub, button('›', 'One step on', actions.on))
    return {element, told(time) {
        if (document.activeElement !== scrub || Number(scrub.value) !== time) scrub.value = time
        scrub.setAttribute('aria-valuetext', time <= 0 ? 'in the map' : time === 1 ? 'in their sequences'
            : time >= 2 ? 'back in the map' : 'on their way')
    }}
}

// What the maps show, below the drawing.
export function mapControls(model, state, choose) {
    const says = channel => channel ? `channel ${channel} of each map that has it` : 'L2 norm of all channels'
    const output = html('output', {}, says(state.channel))
    const range = html('input', {type: 'range', min: 0, max: model.most_channels, value: state.channel,
        disabled: !model.most_channels, 'aria-label': 'Channel; 0 is the L2 norm of all', input: () => {
            output.textContent = says(Number(range.value))
            choose({channel: Number(range.value)}, {silent: true})
        }})
    const element = html('div', {class: 'map-controls'},
        html('label', {class: 'range'}, html('span', {}, 'Feature maps show'), range, output))
    const faces = html('div', {class: 'faces'})
    element.append(faces)
    return {element, sync(state) {
        if (document.activeElement !== range) range.value = state.channel
        output.textContent = says(state.channel)
        faces.replaceChildren(...(state.block === null ? [] : [
            toggle('Tokens as values', state.face === 'values', () =>
                choose({face: state.face === 'values' ? 'picture' : 'values'}),
                {remark: 'instead of the picture'}),
            toggle('With the common vector', state.whole, () => choose({whole: !state.whole}),
                   {remark: `${(100 * model.blocks[state.block].common).toFixed(1)} % of what is added`})]))
    }}
}
