/** Redux Toolkit with its listener middleware, its means of reacting to actions: here with one that merely counts. */
import { configureStore, createListenerMiddleware } from "@reduxjs/toolkit"
import { setImmediate } from "node:timers/promises"
import { serve } from "../PeerProgram.ts"
import { amountAt, faultOf } from "../Tally.ts"
import { till } from "./toolkitTill.ts"

serve({
  "store.dispatch": () => {
    let heard = 0
    const listener = createListenerMiddleware()
    listener.startListening({
      actionCreator: till.actions.sell,
      effect: () => {
        heard += 1
      }
    })
    const store = configureStore({
      reducer: till.reducer,
      middleware: (defaults) => defaults().prepend(listener.middleware)
    })
    return {
      doOne: (index) => store.dispatch(till.actions.sell(amountAt(index))),
      faultAfter: async (count) => {
        await setImmediate()
        return heard === count ? faultOf(store.getState(), count) : `${count} sales, of which ${heard} were heard`
      }
    }
  }
})
