/**
 * Peers run in processes of their own, so that they and we cannot disturb each other: no shared heap, no functions that
 * one of us has made the compiler take for slow. A peer stands still while it is not its turn.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import type { Contestant } from "./Contest.ts"
import type { Answer, Turn } from "./PeerProgram.ts"

/** The programs in `peers/`, and the names that they have in the table. */
const programs = {
  redux: "Redux",
  "@reduxjs/toolkit": "ReduxToolkit",
  "@reduxjs/toolkit, listening": "ReduxToolkitListener",
  xstate: "XState"
} as const

/** A peer. */
export type Name = keyof typeof programs

/** Starts the peer's process, for as long as the scope lasts. What it does is the work of the row with this id. */
const start = (name: Name, id: string): Effect.Effect<ChildProcess, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() =>
      fork(fileURLToPath(new URL(`peers/${programs[name]}.ts`, import.meta.url)), [id], {
        // Its users deploy it so; it would check much more otherwise.
        env: { ...process.env, NODE_ENV: "production" }
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

const answerTo = (peer: ChildProcess, name: Name, turn: Turn): Effect.Effect<Answer, Error> =>
  Effect.callback((resume) => {
    const gone = () => resume(Effect.fail(new Error(`${name} ended with code ${peer.exitCode ?? peer.signalCode}`)))
    if (peer.exitCode !== null || peer.signalCode !== null) return gone()
    const answered = (answer: unknown) => {
      peer.off("exit", gone)
      resume(Effect.succeed(answer as Answer))
    }
    peer.once("exit", gone)
    peer.once("message", answered)
    // Should the turn not reach it, that is because the peer is about to be gone.
    peer.send(turn, () => {})
    return Effect.sync(() => {
      peer.off("exit", gone)
      peer.off("message", answered)
    })
  })

/** The peer as a contestant for the row with this id, in rounds of so many milliseconds. */
const open = (name: Name, id: string, milliseconds: number): Effect.Effect<Contestant, never, Scope.Scope> =>
  Effect.map(
    start(name, id),
    (peer) => () =>
      Effect.map(
        answerTo(peer, name, { milliseconds }),
        ({ fault, perSecond }) => ({ figures: { [id]: perSecond }, fault })
      )
  )

/** These peers as contestants for the row with this id. */
export const openAll = <const Names extends ReadonlyArray<Name>>(
  names: Names,
  id: string,
  milliseconds: number
): Effect.Effect<Record<Names[number], Contestant>, never, Scope.Scope> =>
  Effect.map(
    Effect.forEach(names, (name) => Effect.map(open(name, id, milliseconds), (peer) => [name, peer] as const)),
    (peers) => Object.fromEntries(peers) as Record<Names[number], Contestant>
  )
