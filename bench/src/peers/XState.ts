/** XState: machines, whose actors assign to their context; and its pure transition function for a step alone. */
import { assign, createActor, setup, transition } from "xstate"
import { type Content, stateAfter, totalOf } from "../OrderContent.ts"
import { serve } from "../PeerProgram.ts"
import { amountAt, faultOf, initial } from "../Tally.ts"
import { orderSteps } from "./orderSteps.ts"

const till = setup({
  types: {
    context: {} as typeof initial,
    events: {} as { readonly type: "sell"; readonly amount: number }
  }
}).createMachine({
  context: initial,
  initial: "open",
  states: {
    open: {
      on: {
        sell: {
          actions: assign({
            sales: ({ context }) => context.sales + 1,
            total: ({ context, event }) => context.total + event.amount,
            largest: ({ context, event }) => Math.max(context.largest, event.amount)
          })
        }
      }
    }
  }
})

const order = setup({
  types: {
    context: {} as { readonly revisions: number; readonly total: number },
    events: {} as { readonly type: "revise"; readonly content: Content }
  }
}).createMachine({
  context: { revisions: 0, total: stateAfter("1", 1).total },
  initial: "placed",
  states: {
    placed: {
      on: {
        revise: {
          actions: assign({
            revisions: ({ context }) => context.revisions + 1,
            total: ({ event }) => totalOf(event.content)
          })
        }
      }
    }
  }
})

serve({
  "store.dispatch": () => {
    const actor = createActor(till)
    actor.start()
    return {
      doOne: (index) => actor.send({ type: "sell", amount: amountAt(index) }),
      faultAfter: (count) => faultOf(actor.getSnapshot().context, count)
    }
  },
  "reducer.step": () =>
    orderSteps({
      placed: createActor(order).getSnapshot(),
      revise: (content) => ({ type: "revise" as const, content }),
      reduce: (state, event) => transition(order, state, event)[0],
      stateOf: ({ context, value }) => ({ placed: value === "placed", ...context })
    })
})
