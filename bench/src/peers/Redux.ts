/** Redux as it was written before its toolkit: action creators, a switch, object spreads. */
import { legacy_createStore as createStore } from "redux"
import { serve } from "../PeerProgram.ts"
import { amountAt, faultOf, initial, type Takings } from "../Tally.ts"

interface Sell {
  readonly type: "sell"
  readonly amount: number
}

const sell = (amount: number): Sell => ({ type: "sell", amount })

const till = (state: Takings = initial, action: Sell): Takings => {
  switch (action.type) {
    case "sell":
      return {
        ...state,
        sales: state.sales + 1,
        total: state.total + action.amount,
        largest: Math.max(state.largest, action.amount)
      }
    default:
      return state
  }
}

serve({
  "store.dispatch": () => {
    const store = createStore(till)
    return {
      doOne: (index) => store.dispatch(sell(amountAt(index))),
      faultAfter: (count) => faultOf(store.getState(), count)
    }
  }
})
