/**
 * The program: a counter that runs, is told what to do, and is looked at. `pnpm counter`
 */
import * as Store from "@composable-ts/core/Store"
import { Console, Effect } from "effect"
import { Counter, counter } from "./Counter.ts"

const program = Effect.gen(function*() {
  const store = yield* Store.make(counter, { initial: 0 })
  yield* Console.log(`The counter starts at ${yield* store.state}.`)

  for (const action of [Counter.Increment(), Counter.Increment(), Counter.Increment(), Counter.Decrement()]) {
    yield* Console.log(`${action._tag.padEnd(9)} → ${yield* store.dispatch(action)}`)
  }

  yield* Effect.forEach(Array.from({ length: 1000 }), () => store.dispatch(Counter.Increment()), {
    concurrency: "unbounded"
  })
  yield* Console.log(
    `1000 increments at once → ${yield* store.state}: none is lost, for actions are reduced one at a time.`
  )
  yield* Console.log(`Reset     → ${yield* store.dispatch(Counter.Reset())}`)
})

await Effect.runPromise(Effect.scoped(program))
