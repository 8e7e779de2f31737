// Keys: arrows go from token to token, Enter pins and opens, Escape lets go, Ctrl+Z undoes.

const ARROWS = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}

export function pressed(event, drawing) {
    const {target, key} = event
    const act = target.matches('.surface') && onTokens(key, drawing) || anywhere(event, drawing)
    if (!act) return
    event.preventDefault()
    act()
}

function onTokens(key, drawing) {
    const {rows, columns} = drawing.scene.block, [row, column] = drawing.hovered ?? drawing.token, step = ARROWS[key]
    if (step) return () => {
        drawing.hover([(row + step[0] + rows) % rows, (column + step[1] + columns) % columns])
        drawing.say()
    }
    if (key === 'Enter' || key === ' ') return () => drawing.pin([row, column])
}

function anywhere({target, key, ctrlKey, metaKey}, drawing) {
    if (key === 'z' && (ctrlKey || metaKey)) return () => drawing.store.undo()
    if (target.matches('[role=button]') && (key === 'Enter' || key === ' '))
        return () => target.dispatchEvent(new MouseEvent('click'))
    if (key === 'Escape' && drawing.scene) return () => drawing.escape()
}
