// Pictures to choose from, each a small button.

import {html} from './elements.js'

export function buildExamples(examples, choose, upload) {
    const buttons = examples.map(({name, url}) => html('button', {
        type: 'button', class: 'example', title: name, 'aria-label': name, 'data-example': name,
        click: () => choose(name)}, html('img', {src: url, alt: '', width: 40, height: 40})))
    const element = html('div', {class: 'examples', role: 'group', 'aria-label': 'Pictures to choose from'}, ...buttons,
        upload ? html('button', {type: 'button', class: 'own', click: upload}, 'Your own picture') : '')
    return {element, sync(chosen) {
        for (const button of buttons) button.setAttribute('aria-pressed', String(button.dataset.example === chosen))
    }}
}
