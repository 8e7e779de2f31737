// What the page does in the browser by itself, beside Gradio: errors, names of examples, what the Unfold tab shows.

window.mvit = {
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

// Gradio gives its examples no words for those who cannot see them; their files' names are such words.
function nameExamples() {
    const images = document.querySelectorAll('.gallery-item img')
    for (const image of images) image.alt = image.src.split('/').pop().split('.')[0]
    if (!images.length) setTimeout(nameExamples, 100)
}
nameExamples()
