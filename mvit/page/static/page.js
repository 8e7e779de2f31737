// What the page does in the browser by itself, beside Gradio: errors, what the Unfold tab shows.

window.mvit = {
    // Gradio's trigger for events that are LAST in mvit/page/events.py: with one object for all data, as Gradio sends a
    // deferred event with what came with the first; so that is what was chosen last.
    withLatest(trigger) {
        const latest = {}
        return (event, data) => {
            for (const name in latest) delete latest[name]
            trigger(event, Object.assign(latest, data))
        }
    },

    // A picture that was pasted or dropped anywhere goes the way of one that was chosen.
    async give(file) {
        document.querySelector('[role=tab][data-tab-id=classify]').click()
        const input = await found('#picture input[type=file]'), files = new DataTransfer()
        files.items.add(file)
        input.files = files.files
        input.dispatchEvent(new Event('change', {bubbles: true}))
    },

    // What the Unfold tab is to show: the weights and the picture.
    subject: (pixels, checkpoint) => checkpoint + pixels,

    // The same while the tab is open, else what it shows already.
    subjectIfOpen: (pixels, checkpoint, shown) =>
        document.querySelector('#unfold')?.offsetParent ? checkpoint + pixels : shown,
}

// Gradio shows no words of what goes wrong with an event that is not queued (6.31).
const fetched = window.fetch
window.fetch = async (...request) => {
    const response = await fetched(...request)
    if (!response.ok && response.url.includes('/gradio_api/run/'))
        response.clone().json().then(({error}) => error && showError(error), () => {})
    return response
}

function showError(words) {
    const alert = document.querySelector('.page-alert') ?? document.createElement('div')
    Object.assign(alert, {className: 'page-alert', role: 'alert', textContent: words})
    document.querySelector('.gradio-container').append(alert)
    clearTimeout(window.mvit.alerted)
    window.mvit.alerted = setTimeout(() => alert.remove(), 10000)
}

// The element that a selector names, once it is there.
async function found(selector) {
    while (!document.querySelector(selector)) await new Promise(resolve => setTimeout(resolve, 50))
    return document.querySelector(selector)
}

const pictureOf = data => [...data?.files ?? []].find(file => file.type.startsWith('image/'))

document.addEventListener('paste', event => {
    const file = pictureOf(event.clipboardData)
    if (file) window.mvit.give(file)
})
// Where Gradio takes a dropped file itself, this is not reached with the default still to be prevented.
document.addEventListener('dragover', event => event.preventDefault())
document.addEventListener('drop', event => {
    if (event.defaultPrevented) return
    event.preventDefault()
    const file = pictureOf(event.dataTransfer)
    if (file) window.mvit.give(file)
})

// What changes in the answer is read out.
found('#verdict').then(verdict => verdict.setAttribute('role', 'status'))
