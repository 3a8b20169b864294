/**
 * A process that runs `chains` and parks what fails: `node Parker.ts '<ParkerOrders as JSON>'`. It kills itself where its
 * orders say.
 */
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as Lease from "@composable-ts/projections/Lease"
import * as Poison from "@composable-ts/projections/Poison"
import * as Projection from "@composable-ts/projections/Projection"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Effect, Layer, Redacted } from "effect"
import * as Chains from "../../../packages/projections/test/Chains.ts"

/** What the process shall do. */
export interface ParkerOrders {
  readonly url: string
  /** Events whose position is a multiple of this fail. */
  readonly every: number
  /** At which statement on the tables of dead letters that it makes it kills itself … */
  readonly count: number
  /** … and whether it does so right after it has sent the statement, or before. */
  readonly sent: boolean
}

const { count, every, sent, url } = JSON.parse(process.argv[2]!) as ParkerOrders

let left = count
const die = () => process.kill(process.pid, "SIGKILL")

/** The client that kills its process. */
const deadly = (client: PgClient.PgClient): PgClient.PgClient =>
  new Proxy(client, {
    get: (target, key) =>
      key === "unsafe"
        ? (text: string, parameters?: ReadonlyArray<unknown>) => {
          const statement = target.unsafe(text, parameters)
          if (!/dead_letters|parked_streams/.test(text) || --left !== 0) return statement
          return sent ? Effect.tap(statement, () => Effect.sync(die)) : Effect.andThen(Effect.sync(die), Effect.never)
        }
        : Reflect.get(target, key)
  })

const chains = Chains.chains(
  ({ globalPosition }) => Number(globalPosition) % every === 0 ? Effect.fail(`no ${globalPosition}`) : Effect.void,
  { poison: Poison.park }
)

await Effect.runPromise(
  Projection.run(chains).pipe(
    Effect.updateService(PgClient.PgClient, deadly),
    Effect.provideService(Lease.Time, 150),
    Effect.provide(
      PostgresEventStore.layer().pipe(
        Layer.provideMerge(PgClient.layer({ url: Redacted.make(url), maxConnections: 5 }))
      )
    )
  )
)
