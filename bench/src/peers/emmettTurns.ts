/**
 * The rows of the table that need a database, done with Emmett as its users would: appends, aggregated streams, its
 * command handler, and its consumers.
 */
import { CommandHandler, STREAM_DOES_NOT_EXIST } from "@event-driven-io/emmett"
import { setTimeout } from "node:timers/promises"
import { contentAt, totalOf } from "../OrderContent.ts"
import { type Answer, databaseVariable, type Player, type Turn } from "../PeerProgram.ts"
import { crowdAsync, numbers, p50, sequenceAsync } from "../Timing.ts"
import { handle, project } from "./emmettConsumer.ts"
import { eventAt, evolve, faultOf, initialState, isAfter, open, type Opened, type Settings } from "./emmettOrder.ts"

const callers = 32

const append = async ({ store }: Opened, id: string, from: number, size: number): Promise<void> => {
  const { nextExpectedStreamVersion } = await store.appendToStream(
    `order-${id}`,
    numbers(size).map((index) => eventAt(id, from + index)),
    { expectedStreamVersion: from === 0 ? STREAM_DOES_NOT_EXIST : BigInt(from) }
  )
  if (nextExpectedStreamVersion !== BigInt(from + size)) {
    throw new Error(`version ${nextExpectedStreamVersion} after appending ${size} at ${from}`)
  }
}

const alone = (size: number) => async (opened: Opened, { milliseconds, round }: Turn): Promise<Answer> => {
  const durations = await sequenceAsync(milliseconds, (index) => append(opened, `r${round}.`, index * size, size))
  return { figure: p50(durations), fault: await faultOf(opened, `r${round}.`, durations.length * size) }
}

const crowdOf =
  (callers: number, size = 1) => async (opened: Opened, { milliseconds, round }: Turn): Promise<Answer> => {
    const { count, perSecond } = await crowdAsync(
      milliseconds,
      callers,
      (caller, index) => append(opened, `r${round}.${caller}`, index * size, size)
    )
    return { figure: perSecond, fault: await faultOf(opened, `r${round}.`, count * size) }
  }

/** Stores so many events of an order. */
const fill = async (opened: Opened, id: string, events: number): Promise<void> => {
  for (let from = 0; from < events; from += 100) await append(opened, id, from, Math.min(100, events - from))
}

const streams = 10

/** Streams are filled before the first turn. */
const load = (length: number) => async (opened: Opened, { milliseconds, round }: Turn): Promise<Answer> => {
  if (round === 0) {
    for (const stream of numbers(streams)) await fill(opened, `${stream}`, length)
    await opened.pool.query("VACUUM ANALYZE emt_messages")
  }
  let fault: string | undefined
  const durations = await sequenceAsync(milliseconds, async (index) => {
    const id = `${index % streams}`
    const { currentStreamVersion, state } = await opened.store.aggregateStream(`order-${id}`, { evolve, initialState })
    if (currentStreamVersion !== BigInt(length)) fault = `version ${currentStreamVersion} instead of ${length}`
    if (!isAfter(state, id, length)) fault = `a wrong state: ${JSON.stringify(state)}`
  })
  return { figure: p50(durations), fault }
}

const handleCommand = CommandHandler({ evolve, initialState, mapToStreamId: (id: string) => `order-${id}` })

const revise = (id: string, index: number) => () => {
  const content = contentAt(id, index)
  return { type: "Revised" as const, data: { ...content, total: totalOf(content) } }
}

const command = async (opened: Opened, { milliseconds, round }: Turn): Promise<Answer> => {
  await Promise.all(numbers(callers).map((caller) => append(opened, `r${round}.${caller}`, 0, 1)))
  const { count, perSecond } = await crowdAsync(milliseconds, callers, async (caller, index) => {
    const id = `r${round}.${caller}`
    const { newState } = await handleCommand(opened.store, id, revise(id, index + 1))
    if (newState.revisions !== index + 1) throw new Error(`revision ${index + 1} came out as ${newState.revisions}`)
  })
  return { figure: perSecond, fault: await faultOf(opened, `r${round}.`, callers + count) }
}

/** Stores single events by many callers at once, as a log in use comes about. */
const fillAtOnce = (opened: Opened, events: number) =>
  Promise.all(
    numbers(callers).map(async (caller) => {
      for (let index = 0; caller + index * callers < events; index++) await append(opened, `${caller}`, index, 1)
    })
  )

/** Its reader sees only what is older than every open transaction of the server, so these must be gone first. */
const settled = async ({ pool }: Opened, events: number): Promise<void> => {
  const deadline = performance.now() + 30_000
  for (;;) {
    const { rows } = await pool.query<{ visible: number }>(
      "SELECT count(*)::int AS visible FROM emt_messages WHERE transaction_id < pg_snapshot_xmin(pg_current_snapshot())"
    )
    if (rows[0]!.visible === events) return
    if (performance.now() > deadline) throw new Error("a transaction elsewhere on the server hides events")
    await setTimeout(20)
  }
}

const consumed = (work: typeof handle) => async (opened: Opened, turn: Turn): Promise<Answer> => {
  if (turn.round === 0) {
    await fill(opened, "1", turn.events)
    await opened.pool.query("VACUUM ANALYZE emt_messages")
  }
  await settled(opened, turn.events)
  return work(opened, turn)
}

/**
 * The first turn, which does not count, also looks whether a log that many callers have filled at once arrives whole: its
 * reader goes by transactions, its checkpoint by positions, and these do not agree. What is timed is a log that a lone
 * caller has filled, since the less arrives, the less there is to time.
 */
const handled = () => {
  let faultOfCrowd: string | undefined
  const timed = consumed(handle)
  return async (opened: Opened, turn: Turn): Promise<Answer> => {
    if (turn.round === 0) {
      await fillAtOnce(opened, turn.events)
      await settled(opened, turn.events)
      const { fault } = await handle(opened, { ...turn, round: -1 })
      if (fault !== undefined) faultOfCrowd = `${fault}, after ${callers} callers had stored them at once`
      await opened.store.schema.dangerous.truncate({ resetSequences: true })
    }
    const answer = await timed(opened, turn)
    return { ...answer, fault: answer.fault ?? faultOfCrowd }
  }
}

const rows = {
  "append1.seq": alone(1),
  "append1.c8": crowdOf(8),
  "append1.c32": crowdOf(32),
  "append10.seq": alone(10),
  "append10.c32": crowdOf(32, 10),
  "command.warm.c32": command,
  "load.100": load(100),
  "load.1000": load(1_000),
  "catchup.noop": handled(),
  "projection.row": consumed(project),
  "projection.batch": consumed(project)
}

/** The turns of all rows, on a database that the first turn opens. */
export const turns = (settings: Settings): Readonly<Record<string, Player>> => {
  let opened: Promise<Opened> | undefined
  const url = process.env[databaseVariable] ?? ""
  return Object.fromEntries(
    Object.entries(rows).map(([id, row]) => [
      id,
      async (turn: Turn) => row(await (opened ??= open(url, settings)), turn)
    ])
  )
}
