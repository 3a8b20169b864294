/** The till as a slice of Redux Toolkit, whose reducer writes to a draft that immer turns into the next state. */
import { createSlice, type PayloadAction } from "@reduxjs/toolkit"
import { initial, type Takings } from "../Tally.ts"

export const till = createSlice({
  name: "till",
  initialState: initial as Takings,
  reducers: {
    sell: (state, { payload }: PayloadAction<number>) => {
      state.sales += 1
      state.total += payload
      if (payload > state.largest) state.largest = payload
    }
  }
})
