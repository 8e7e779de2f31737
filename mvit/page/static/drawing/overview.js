// The whole network in one row, and what it would say at each depth: columns are stages, rows are classes.

import {svg, text, picture, pixelsURL, shortened} from './elements.js'
import {number, percent, valueScale} from './colours.js'
import {answerBars} from './bars.js'
import {colourBar} from './colourbar.js'

export function drawOverview(layout, model, state, {openBlock, result}) {
    const {overview} = layout
    return svg('g', {class: 'overview'},
        overview.withRows ? rowLines(layout, model) : null,
        thePicture(overview, model, state),
        model.stages.slice(0, -1).map((stage, i) => stageColumn(layout, model, state, stage, i, openBlock)),
        theAnswer(layout, model, result))
}

function titleOf(stage) {
    return stage.name[0].toUpperCase() + stage.name.slice(1)
}

function thePicture({top, thumb, tight, title, first, rowsTop, row, withRows, wide}, model, state) {
    const {size, pixels} = model
    const url = pixelsURL(size, size, i => pixels.subarray(3 * i, 3 * i + 3))
    const covered = state.experiment.covered.map(([y, x, h, w]) => svg('rect', {
        x: x * thumb / size, y: top + y * thumb / size, width: w * thumb / size, height: h * thumb / size,
        class: 'covered'}))
    const names = withRows ? model.classes.map((name, i) => text(
        0, rowsTop + (i + 0.5) * row, shortened(name, first - 10, wide ? 12 : 11),
        {class: 'class-name', 'dominant-baseline': 'central'})) : []
    return svg('g', {},
        text(0, title - 4, 'Picture', {class: 'title'}),
        picture(0, top, thumb, thumb, url, {class: 'the-picture'}), ...covered,
        wide ? [text(first - 8, top + thumb + 20, state.channel ? `channel ${state.channel}` : 'L2 norm',
                     {class: 'small', 'text-anchor': 'end'}),
                text(0, top + thumb + 36, `${size} × ${size} × 3`, {class: 'quiet'})]
            : withRows && model.stages.some(stage => stage.probe)
                ? text(0, rowsTop - 4, tight ? 'probe right, %' : 'probe right', {class: 'small'}) : null,
        ...names)
}

function rowLines({width, overview: {rowsTop, row}}, model) {
    return svg('g', {class: 'lines'}, Array.from({length: model.classes.length + 1}, (_, i) =>
        svg('line', {x1: 0, x2: width, y1: rowsTop + i * row, y2: rowsTop + i * row})))
}

function stageColumn({overview}, model, state, stage, i, openBlock) {
    const {top, thumb, tight, title, stageX, pitch, wide, height, withRows} = overview
    const x = stageX(i), block = i - 1, open = state.block === block && block >= 0
    const shown = stage.map.shown(state.channel), scale = valueScale(shown.values, shown.signed)
    const url = pixelsURL(stage.map.columns, stage.map.rows, at => scale.at(shown.values[at]))
    const words = `${titleOf(stage)}: ${stage.shape.join(' × ')}, ${megaflops(stage.flops)}` +
        (stage.probe ? `, a linear probe says ${stage.probe.says}` : '')
    const button = block >= 0 ? {
        role: 'button', tabindex: 0, 'aria-expanded': String(open), 'data-key': `stage-${i}`, class: 'stage',
        'aria-label': `${words}. ${open ? 'Close' : 'Open'} it`, click: () => openBlock(open ? null : block)} : {}
    const pad = wide ? 10 : 3
    return svg('g', {...button, 'data-stage': stage.name},
        block >= 0 ? svg('rect', {x: x - pad, y: 0, width: pitch - (wide ? 12 : 2), height: height + 6, rx: 6,
                                  class: open ? 'column open' : 'column'}) : null,
        arrow(i ? stageX(i - 1) + thumb : thumb, x, top + thumb / 2, stage.flops / model.flops, overview),
        text(x, title - 4, wide || thumb > 38 ? titleOf(stage) : titleOf(stage).replace('Block ', 'B'),
             {class: 'title', style: tight ? 'font-size: 10px' : ''}),
        picture(x, top, thumb, thumb, url, {class: 'thumb'}),
        wide ? [colourBar({x, y: top, width: thumb, height: thumb}, scale, '', {below: 3}),
                text(x, top + thumb + 36, stage.shape.join(' × '), {class: 'quiet'}),
                text(x, top + thumb + 50, megaflops(stage.flops), {class: 'quiet'})]
            : withRows ? colourBar({x, y: top, width: thumb, height: thumb}, scale, '', {below: 3}) : null,
        withRows && stage.probe ? bars(x, overview, stage.probe.answer, model.classes.indexOf(stage.probe.says)) : null,
        withRows && stage.probe && wide
            ? text(x, overview.rowsTop - 7, `probe, ${percent(stage.probe.accuracy, 0)} right`, {class: 'small'})
            : withRows && stage.probe
                ? text(x, overview.rowsTop - 4, percent(stage.probe.accuracy, 0).replace(tight ? ' %' : '', ''),
                       {class: 'small'})
                : null)
}

// An arrow as thick as the work behind it.
function arrow(from, to, y, share, {wide}) {
    const [left, right] = wide ? [from + 10, to - 18] : [from + 1, to - 2]
    const half = wide ? 1 + 4 * share : 0.75
    return svg('path', {class: 'arrow', d: wide
        ? `M${left} ${y - half}H${right - 6}V${y - half - 3}L${right} ${y}` +
          `L${right - 6} ${y + half + 3}V${y + half}H${left}Z`
        : `M${left} ${y - half}H${right}V${y + half}H${left}Z`})
}

// Which is best may be none of the classes that are shown.
function bars(x, {rowsTop, row, barWidth, wide}, answer, best) {
    return svg('g', {class: 'bars'}, answer.map((share, i) => [
        svg('rect', {x, y: rowsTop + i * row + row / 2 - 4, width: Math.max(share * barWidth, 0.6), height: 8, rx: 2,
                     class: i === best ? 'bar best' : 'bar'}),
        wide && i === best ? text(x + share * barWidth + 4, rowsTop + (i + 0.5) * row, percent(share, 0),
                                  {class: 'small', 'dominant-baseline': 'central'}) : null]))
}

function theAnswer({overview, width}, model, result) {
    const {answerX: x, top, thumb, title, wide, rowsTop, row, withRows, stageX} = overview
    const head = model.stages.at(-1), values = head.map.values, scale = valueScale(values, true)
    const columns = Math.ceil(Math.sqrt(values.length * 4 / 3)), rows = Math.ceil(values.length / columns)
    const url = pixelsURL(columns, rows, i => i < values.length ? scale.at(values[i]) : [0, 0, 0, 0])
    const last = stageX(model.stages.length - 2) + thumb
    const parts = [
        arrow(last, x, top + thumb / 2, head.flops / model.flops, overview),
        text(x, title - 4, wide ? 'Head, answer' : 'Answer', {class: 'title'}),
        picture(x, top + thumb / 8, thumb, thumb * 3 / 4, url, {class: 'thumb'}),
    ]
    const best = largest(model.answer), name = model.classes[best]
    if (wide) parts.push(
        colourBar({x, y: top + thumb / 8, width: thumb, height: thumb * 3 / 4}, scale, '', {below: thumb / 8 + 3}),
        text(x, top + thumb + 36, `${values.length}, then ${model.class_count.toLocaleString('en')} classes`, {class: 'quiet'}),
        text(x, top + thumb + 50, megaflops(head.flops), {class: 'quiet'}),
        text(x + thumb + 12, top + thumb / 2 - 6, shortened(name, width - x - thumb - 12, 16, 700), {class: 'says'}),
        text(x + thumb + 12, top + thumb / 2 + 15, percent(model.answer[best]), {class: 'says-share'}))
    if (withRows && !wide) parts.push(
        colourBar({x, y: top + thumb / 8, width: thumb, height: thumb * 3 / 4}, scale, '', {below: thumb / 8 + 3}))
    if (withRows) parts.push(
        wide ? text(x, rowsTop - 7, result ? 'the network, and dashed before' : 'the network', {class: 'small'}) : null,
        answerBars({x, top: rowsTop, width: width - x, row, names: wide ? 74 : 0, roomy: wide}, model, result))
    else if (!wide) {
        const right = x + thumb + 5
        parts.push(text(right, top + thumb / 2 - 4, shortened(name, width - right, 11), {class: 'small'}),
                   text(right, top + thumb / 2 + 11, percent(model.answer[best], 0), {class: 'small'}))
    }
    return svg('g', {class: 'answer'}, parts)
}

export function megaflops(flops) {
    return `${number(flops / 1e6)} MFLOPs`
}

function largest(values) {
    return values.indexOf(Math.max(...values))
}
