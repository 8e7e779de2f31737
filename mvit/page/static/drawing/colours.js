// One colour for each position in a patch, and one map of colours for each kind of quantity.

// Okabe and Ito's four, told apart by the colour-blind too; where there are more positions, as many hues.
const OKABE_ITO = [[230, 159, 0], [86, 180, 233], [0, 158, 115], [204, 121, 167]]

export function positionColours(P) {
    return P <= OKABE_ITO.length ? OKABE_ITO.slice(0, P).map(css)
        : Array.from({length: P}, (_, i) => `hsl(${Math.round(360 * i / P)} 60% 52%)`)
}

// matplotlib's inferno, in sixteenths: brightness grows evenly, so that it reads without colour too.
const INFERNO = ['#000004', '#0b0724', '#210c4a', '#3d0965', '#57106e', '#71196e', '#8a226a', '#a32c61', '#bc3754',
                 '#d24644', '#e45a31', '#f1731d', '#f98e09', '#fcac11', '#f9cb35', '#f2ea69', '#fcffa4'].map(rgb)
const SLATE = ['#0f172a', '#334155', '#64748b', '#a3b1c4', '#f8fafc'].map(rgb)
const BLUE_RED = ['#2166ac', '#67a9cf', '#d1e5f0', '#f7f7f7', '#fddbc7', '#ef8a62', '#b2182b'].map(rgb)

function rgb(hex) {
    return [1, 3, 5].map(at => parseInt(hex.slice(at, at + 2), 16))
}

export function css([r, g, b]) {
    return `rgb(${Math.round(r)} ${Math.round(g)} ${Math.round(b)})`
}

// A scale: from numbers to colours, with its ends. `at(value)` is [red, green, blue].
function scale(stops, low, high, kind) {
    const span = Math.max(high - low, 1e-12)
    return {low, high, kind, at(value) {
        const place = Math.min(Math.max((value - low) / span, 0), 1) * (stops.length - 1)
        const i = Math.min(Math.floor(place), stops.length - 2), share = place - i
        return stops[i].map((from, c) => from + share * (stops[i + 1][c] - from))
    }}
}

export function weightScale(largest) {
    return scale(INFERNO, 0, niceCeiling(largest), 'attention weight')
}

// Numbers with a sign have white at zero, and as much of either side; norms go from their smallest to their largest.
export function valueScale(values, signed) {
    let low = Infinity, high = -Infinity
    for (const value of values) {
        low = Math.min(low, value)
        high = Math.max(high, value)
    }
    const most = Math.max(Math.abs(low), Math.abs(high), 1e-12)
    return signed ? scale(BLUE_RED, -most, most, 'channel') : scale(SLATE, low, high, 'L2 norm')
}

function niceCeiling(value) {
    const power = 10 ** Math.floor(Math.log10(value))
    return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map(step => step * power).find(step => step >= value - 1e-9)
}

export function number(value) {
    const size = Math.abs(value)
    const digits = size === 0 || size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3
    return value.toFixed(digits).replace('-', '−')
}

// A share in percent, with a digit more where it is near none or all of it.
export function percent(share, digits) {
    const from = Math.min(share, 1 - share)
    return `${(100 * share).toFixed(digits ?? (from < 0.0995 && from >= 0.0005 ? 1 : 0))} %`
}
