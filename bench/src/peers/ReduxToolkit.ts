/** Redux Toolkit: slices, and a store with the middleware that it comes with. */
import { configureStore, createSlice, type PayloadAction } from "@reduxjs/toolkit"
import { type Content, stateAfter, totalOf } from "../OrderContent.ts"
import { serve } from "../PeerProgram.ts"
import { amountAt, faultOf } from "../Tally.ts"
import { orderSteps } from "./orderSteps.ts"
import { till } from "./toolkitTill.ts"

const order = createSlice({
  name: "order",
  initialState: stateAfter("1", 1),
  reducers: {
    revise: (state, { payload }: PayloadAction<Content>) => {
      if (!state.placed) return
      state.revisions += 1
      state.total = totalOf(payload)
    }
  }
})

serve({
  "store.dispatch": () => {
    const store = configureStore({ reducer: till.reducer })
    return {
      doOne: (index) => store.dispatch(till.actions.sell(amountAt(index))),
      faultAfter: (count) => faultOf(store.getState(), count)
    }
  },
  "reducer.step": () =>
    orderSteps({
      placed: order.getInitialState(),
      revise: order.actions.revise,
      reduce: order.reducer,
      stateOf: (state) => state
    })
})
