// Where everything stands, in pixels: a wide drawing has all panels of a block in one row, a narrow one some at a time.

export const WIDE = 720
const TIGHT = 32  // the side of a stage's map beside whose neighbour there is room for two letters
const PANELS = {  // of a narrow drawing
    convolution: ['given', 'tokens'], unfold: ['tokens', 'rows'], attention: ['tokens', 'heads'],
    fold: ['rows', 'added'], output: ['added', 'passed_on'],
}

export function layOut(width, model, state, toolsHeight) {
    const wide = width >= WIDE
    const touched = Object.values(state.experiment).some(places => places.length)
    const open = state.block !== null && state.block < model.blocks.length
    const overview = layOutOverview(width, model, wide, !open || touched || (wide && state.walk === null))
    const tools = {y: overview.height + (wide ? 14 : 6), height: toolsHeight}
    const layout = {width, wide, overview, tools, open}
    let bottom = tools.y + toolsHeight
    if (open) {
        const block = model.blocks[state.block], top = bottom + (wide ? 20 : 12)
        layout.block = wide ? wideBlock(width, top, block) : narrowBlock(width, top, block, state)
        bottom = layout.block.bottom
        const d = block.layers[Math.min(state.layer, block.layers.length - 1)].d
        if (wide || (state.panel === 'attention' && state.walk === null)) {
            layout.formula = {x: 0, y: bottom + 16, width, d, height: wide ? 96 : 190}
            bottom += 16 + layout.formula.height
        }
    }
    return {...layout, height: bottom + 8}
}

function layOutOverview(width, model, wide, withRows) {
    const answer = wide ? 236 : Math.min(112, width * 0.31)
    const first = wide ? 118 : width < 340 ? 64 : 78  // the picture's column, and below it the names of the classes
    const columns = model.stages.length - 1  // stem and blocks; the head stands above the answer
    const pitch = (width - first - answer) / columns
    const thumb = Math.floor(Math.min(wide ? 84 : 44, pitch - (wide ? 26 : 5)))
    const title = 16, lines = wide ? 54 : withRows ? 37 : 0
    const rowsTop = title + 4 + thumb + lines + (wide ? 24 : 14)
    const row = wide ? 13.5 : 14
    return {
        wide, thumb, tight: thumb < TIGHT, title, pitch, first, answer, row, rowsTop, withRows, top: title + 4,
        stageX: i => first + i * pitch,  // of stem, block 1, …
        barWidth: Math.min(pitch - (wide ? 68 : 8), wide ? 110 : 60),
        answerX: width - answer + (wide ? 28 : 10),
        height: withRows ? rowsTop + model.classes.length * row + 4 : title + 4 + thumb + lines + 4,
    }
}

function wideBlock(width, top, block) {
    const gap = 32, header = 46
    const rest = width - 5 * gap
    const side = Math.min(196, Math.floor(rest * 0.215))
    const small = Math.floor(rest * 0.13), tiny = Math.floor(rest * 0.065)
    const rows = rest - 2 * side - 2 * small - tiny
    const y = top + header, middle = y + side / 2
    let x = 0
    const place = (w, h) => {
        const panel = {x, y: middle - h / 2, width: w, height: h, header: top}
        x += w + gap
        return panel
    }
    const panels = {given: place(tiny, tiny), tokens: place(side, side), rows: place(rows, side),
                    heads: place(side, side), added: place(small, small), passed_on: place(small, small)}
    return finished(panels, block, {top, gap, header, bottom: y + side + 70})
}

function narrowBlock(width, top, block, {panel: which, walk, pins}) {
    const header = 40, shown = PANELS[which], panels = {}
    let y = top
    const add = (name, x, w, h, sameLine = false) => {
        panels[name] = {x, y: y + header, width: w, height: h, header: y}
        if (!sameLine) y += header + h + (name === 'rows' ? 12 : 34)
    }
    // In the walk a caption stands above: both fit on one screen.
    const half = Math.floor(walk === null ? (width - 24) / 2 : width * 0.37)
    const row = Math.round(width * (walk === null ? 0.42 : 0.34))
    if (which === 'convolution') {
        add('given', 0, Math.round(width * 0.2), Math.round(width * 0.2), true)
        const side = Math.floor(width * 0.8) - 24
        add('tokens', width - side, side, side)
    } else if (which === 'unfold') {
        add('tokens', 0, half, half)
        add('rows', 0, width, row)
    } else if (which === 'attention') {
        const side = Math.min(width, walk === null ? 300 : 192)  // with its caption on one screen
        add('tokens', (width - side) / 2, side, side)
        const line = Math.min(Math.ceil((width - 24) / 4) + 14, walk === null ? 104 : 84)
        add('heads', 0, width, pins.length > 1 ? 2 * line : line)
    } else if (which === 'fold') {
        add('rows', 0, width, row)
        add('added', (width - half) / 2, half, half)
    } else {
        add('added', 0, half, half, true)
        add('passed_on', width - half, half, half)
    }
    return finished(panels, block, {top, header, bottom: y + (shown.includes('added') && walk === null ? 66 : 0)})
}

// The panels, with the side of a token in each, and where a token of theirs stands.
function finished(panels, block, rest) {
    for (const [name, panel] of Object.entries(panels)) {
        panel.name = name
        if (name === 'rows') Object.assign(panel, sequenceCells(panel, block))
        else if (name !== 'heads') Object.assign(panel, mapCells(panel, block))
    }
    return {...rest, panels}
}

export function mapCells({x, y, width, height}, block) {
    const [w, h] = [width / block.columns, height / block.rows]
    return {cell: Math.min(w, h), corner: (row, column) => [x + column * w, y + row * h], w, h}
}

// P rows of N tokens: as large as they fit, a row in several lines or several rows side by side where that is larger.
function sequenceCells({x, y, width, height}, {P, N, across}) {
    const lineLengths = [N, ...Array.from({length: N}, (_, i) => i + 1)
        .filter(length => length % across === 0 || across % length === 0)]  // patches in rows, as in the map
    let best = {}
    for (let columns = 1; columns <= P; columns++) {
        const room = (width - 10 * (columns - 1)) / columns, down = Math.ceil(P / columns)
        for (const perLine of lineLengths) {
            const lines = Math.ceil(N / perLine)
            const cell = Math.min(room / perLine, (height / down - 6) / lines, 30)
            const worth = columns === 1 && lines === 1 && cell >= 9 ? 2 * cell : cell  // plain rows read best
            if (worth > (best.worth ?? 0) + 0.01) best = {worth, cell, columns, down, perLine, lines, room}
        }
    }
    const {cell, columns, down, perLine, lines, room} = best
    const pitch = height / down
    const corner = (p, n) => [
        x + (p % columns) * (room + 10) + (n % perLine) * cell + Math.max(0, (room - perLine * cell) / 2),
        y + Math.floor(p / columns) * pitch + (pitch - lines * cell) / 2 + Math.floor(n / perLine) * cell,
    ]
    return {cell, w: cell, h: cell, perLine, lines, sequenceCorner: corner}
}
