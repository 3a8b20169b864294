/**
 * Peers run in processes of their own, so that they and we cannot disturb each other: no shared heap, no functions that
 * one of us has made the compiler take for slow. A peer stands still while it is not its turn.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import type { Contestant } from "./Contest.ts"
import { type Answer, databaseVariable, type Failure, type Turn } from "./PeerProgram.ts"
import type { Order, Report } from "./peers/Appender.ts"
import type { Profile } from "./Profile.ts"
import { Server } from "./Server.ts"
import { numbers } from "./Timing.ts"

/** The programs in `peers/`, and the names that they have in the table. */
const programs = {
  redux: "Redux",
  "@reduxjs/toolkit": "ReduxToolkit",
  "@reduxjs/toolkit, listening": "ReduxToolkitListener",
  xstate: "XState",
  emmett: "Emmett",
  "emmett, tuned": "EmmettTuned"
} as const

/** A peer. */
export type Name = keyof typeof programs

/** What a peer needs to know. */
export interface Options extends Pick<Profile, "milliseconds"> {
  /** How many events it goes through, where its work has an end. */
  readonly events?: number
  /** Makes a database for each peer, where the row needs one. */
  readonly database?: Effect.Effect<Redacted.Redacted, Error, Scope.Scope>
}

/** Starts a program of `peers/`, for as long as the scope lasts. */
const start = (
  program: string,
  args: ReadonlyArray<string>,
  url: Redacted.Redacted | undefined
): Effect.Effect<ChildProcess, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() =>
      fork(fileURLToPath(new URL(`peers/${program}.ts`, import.meta.url)), args, {
        // Its users deploy it so; it would check much more otherwise.
        env: {
          ...process.env,
          NODE_ENV: "production",
          ...(url === undefined ? {} : { [databaseVariable]: Redacted.value(url) })
        }
      })
    ),
    (peer) =>
      Effect.promise(async () => {
        if (peer.exitCode !== null || peer.signalCode !== null) return
        const gone = once(peer, "exit")
        if (peer.connected) peer.disconnect()
        await gone
      })
  )

/** Sends a message, if there is one, and waits for the next from there. */
const answerTo = (peer: ChildProcess, name: string, message: object | undefined): Effect.Effect<unknown, Error> =>
  Effect.callback((resume) => {
    const gone = () => resume(Effect.fail(new Error(`${name} ended with code ${peer.exitCode ?? peer.signalCode}`)))
    if (peer.exitCode !== null || peer.signalCode !== null) return gone()
    const answered = (answer: unknown) => {
      peer.off("exit", gone)
      resume(Effect.succeed(answer))
    }
    peer.once("exit", gone)
    peer.once("message", answered)
    // Should the message not reach it, that is because the peer is about to be gone.
    if (message !== undefined) peer.send(message, () => {})
    return Effect.sync(() => {
      peer.off("exit", gone)
      peer.off("message", answered)
    })
  })

/** What a peer told, unless it was that it failed. */
const told = <A extends object>(name: string, answer: A | Failure): Effect.Effect<A, Error> =>
  "failure" in answer ? Effect.fail(new Error(`${name} failed: ${answer.failure}`)) : Effect.succeed(answer)

/** The peer as a contestant for the row with this id. */
const open = (
  name: Name,
  id: string,
  { database, events = 0, milliseconds }: Options
): Effect.Effect<Contestant, Error, Scope.Scope> =>
  Effect.gen(function*() {
    const peer = yield* start(programs[name], [id], database === undefined ? undefined : yield* database)
    return (round) =>
      answerTo(peer, name, { round, milliseconds, events } satisfies Turn).pipe(
        Effect.flatMap((answer) => told(name, answer as Answer | Failure)),
        Effect.map(({ fault, figure }) => ({ figures: { [id]: figure }, fault }))
      )
  })

/** These peers as contestants for the row with this id. */
export const openAll = <const Names extends ReadonlyArray<Name>>(
  names: Names,
  id: string,
  options: Options
): Effect.Effect<Record<Names[number], Contestant>, Error, Scope.Scope> =>
  Effect.map(
    Effect.forEach(names, (name) => Effect.map(open(name, id, options), (peer) => [name, peer] as const)),
    (peers) => Object.fromEntries(peers) as Record<Names[number], Contestant>
  )

/** Emmett on a database of its own: with its defaults, and with the best settings that were found. */
export const emmetts = (id: string, { milliseconds, peerEvents }: Profile) =>
  Effect.flatMap(
    Server,
    ({ database }) => openAll(["emmett", "emmett, tuned"], id, { milliseconds, events: peerEvents, database })
  )

/** Appends by one of our processes: begins the ids of its streams, and has so many callers. Yields how many there were. */
export type Appender = (prefix: string, callers: number) => Effect.Effect<number, Error>

/** Starts so many processes of ours on the log of one database. */
export const openAppenders = (
  count: number,
  { milliseconds, url }: { readonly milliseconds: number; readonly url: Redacted.Redacted }
): Effect.Effect<ReadonlyArray<Appender>, Error, Scope.Scope> =>
  Effect.forEach(numbers(count), (index) =>
    Effect.gen(function*() {
      const name = `process ${index + 1}`
      const process = yield* start("Appender", [], url)
      yield* answerTo(process, name, undefined)
      return (prefix: string, callers: number) =>
        answerTo(process, name, { milliseconds, callers, prefix } satisfies Order).pipe(
          Effect.flatMap((answer) => told(name, answer as Report)),
          Effect.map(({ appends }) => appends)
        )
    }))
