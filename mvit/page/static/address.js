// The address says what is chosen: the tab, the example, the weights, and the state of the drawing. Back goes back.

const YOURS = 'yours'  // stands for a picture of one's own
const STATE = ['block', 'layer', 'head', 'token', 'walk']

Object.assign(window.mvit, {
    link: named(),  // example and weights by name; null for what the page begins with
    goneBack: null,  // what was gone back to since somebody did something, by name

    // Once the tab that the address named is open; until then Gradio opens the first.
    followTabs() {
        this.following = true
    },

    tabOpened(tab) {
        this.tab = tab
        this.say()
    },

    weightsChosen(weights, first) {
        this.link.weights = weights === first ? null : weights
        this.say()
    },

    // A new entry in the browser's history, if something has changed, or none where an entry is only made complete; what
    // is not drawn yet stays as it is there.
    say({complete = false} = {}) {
        if (!this.following || !this.tab) return
        const address = new URL(location), parts = address.searchParams, state = new URLSearchParams(drawn()?.state)
        const said = {tab: this.tab, ...this.link}
        if (this.tab !== 'unfold' || drawn()?.model)
            for (const name of STATE) said[name] = this.tab === 'unfold' ? state.get(name) : null
        for (const [name, value] of Object.entries(said)) value ? parts.set(name, value) : parts.delete(name)
        if (address.href !== location.href) history[complete || this.goneBack ? 'replaceState' : 'pushState'](null, '', address)
    },
})

function named() {
    const parts = new URLSearchParams(location.search)
    return {example: parts.get('example'), weights: parts.get('weights')}
}

function drawn() {
    return document.querySelector('.network-drawing')?.drawing
}

// What is drawn may be of weights that others have been chosen for meanwhile: these are told by weightsChosen.
document.addEventListener('drawing:state', ({detail: {link, first}}) => {
    window.mvit.link = first ? {...link} : {...window.mvit.link, example: link.example}
    window.mvit.say({complete: first})
})

// Whatever comes after going back belongs to the entry gone to, until somebody does something.
for (const deed of ['pointerdown', 'keydown', 'paste', 'drop'])
    document.addEventListener(deed, event => {
        const goesBack = event.button > 2 || event.altKey || ['Alt', 'Control', 'Meta'].includes(event.key)
        if (!goesBack) window.mvit.goneBack = null
    }, true)

window.addEventListener('popstate', () => {
    const {mvit} = window
    if (!mvit.following) return location.reload()  // what the address named first is still to come
    mvit.goneBack ??= {}
    const before = mvit.link, {example, weights} = named()
    const own = example === YOURS  // which nobody keeps: the one that is there stays
    const same = (own || before.example === example) && before.weights === weights
    mvit.tab = new URLSearchParams(location.search).get('tab') ?? 'classify'
    mvit.link = {example: own ? before.example : example, weights}
    document.querySelector(`button[role=tab][data-tab-id="${mvit.tab}"]`)?.click()
    if (same && drawn()) drawn().state = location.search
    if (same) return
    // For the network to come, which may have more than this one.
    if (mvit.tab === 'unfold' && drawn()) drawn().wanted = location.search
    if (!own && before.example !== example) mvit.goneBack.example = example
    if (before.weights !== weights) mvit.goneBack.weights = weights
    mvit.choose(mvit.goneBack)
})
