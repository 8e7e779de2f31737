// The address says what is chosen: the tab, the example, the weights, and the state of the drawing. Back goes back.

const OURS = ['tab', 'example', 'weights', 'block', 'layer', 'head', 'token', 'walk']

Object.assign(window.mvit, {
    link: {},  // example and weights by name; what the page begins with is left out

    // Once the tab that the address named is open; until then Gradio opens the first.
    followTabs() {
        this.following = true
    },

    tabOpened(tab) {
        this.tab = tab
        this.say()
    },

    weightsChosen(folder, first) {
        this.link.weights = folder === first ? undefined : folder.split(/[/\\]/).pop()
        this.say()
    },

    // A new entry in the browser's history, if something has changed.
    say() {
        if (!this.following || !this.tab) return
        const address = new URL(location), parts = address.searchParams
        for (const name of OURS) parts.delete(name)
        const state = this.tab === 'unfold' && drawn() ? Object.fromEntries(new URLSearchParams(drawn().state)) : {}
        for (const [name, value] of Object.entries({tab: this.tab, ...this.link, ...state}))
            if (value) parts.set(name, value)
        if (address.href !== location.href) history.pushState(null, '', address)
    },
})

function drawn() {
    return document.querySelector('.network-drawing')?.drawing
}

document.addEventListener('drawing:state', ({detail: {link}}) => {
    window.mvit.link.example = link?.example ?? undefined
    window.mvit.say()
})

window.addEventListener('popstate', () => {
    const parts = new URLSearchParams(location.search), tab = parts.get('tab') ?? 'classify'
    const [example, weights] = ['example', 'weights'].map(name => parts.get(name))
    const same = (window.mvit.link.example ?? null) === example && (window.mvit.link.weights ?? null) === weights
    if (!same && !drawn()) return location.reload()  // which restores all
    window.mvit.tab = tab
    Object.assign(window.mvit.link, {example: example ?? undefined, weights: weights ?? undefined})
    document.querySelector(`button[role=tab][data-tab-id="${tab}"]`)?.click()
    if (drawn()) drawn().state = location.search
    if (!same) drawn().choose({example, weights})
})
