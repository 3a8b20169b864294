/**
 * Commands of which many are accepted: few seats, small numbers, and now and then a fault.
 */
import { Arbitrary, Schema } from "effect"
import { Inventory } from "../src/domain/Inventory.ts"
import { Reservation } from "../src/domain/Reservation.ts"
import { cancellationNotice, Show } from "../src/domain/Show.ts"

const oneOf = <const A extends string | number>(...values: readonly [A, ...ReadonlyArray<A>]) =>
  Arbitrary.schema(Schema.Literals(values))

const inventoryId = oneOf("s1:stalls")
const reservationId = oneOf("r1", "r2", "r3", "r4")
const ofReservation = Arbitrary.all({ inventoryId, reservationId })

/** By the names of the commands of a section's seats. */
export const ofInventory = {
  InitializeInventory: Arbitrary.map(
    Arbitrary.all({ inventoryId, capacity: oneOf(1, 5, 9), price: oneOf(500) }),
    Inventory.InitializeInventory
  ),
  ReserveSeats: Arbitrary.map(
    Arbitrary.all({ inventoryId, reservationId, quantity: oneOf(1, 2, 4) }),
    Inventory.ReserveSeats
  ),
  ConfirmReservation: Arbitrary.map(ofReservation, Inventory.ConfirmReservation),
  ReleaseReservation: Arbitrary.map(ofReservation, Inventory.ReleaseReservation)
}

const section = Arbitrary.all({ sectionId: oneOf("stalls", "balcony"), capacity: oneOf(1, 5), price: oneOf(500) })

/** By the names of the commands of a show. */
export const ofShow = {
  CreateShow: Arbitrary.map(
    Arbitrary.all({
      showId: oneOf("s1"),
      name: oneOf("Hamlet", ""),
      venue: oneOf("Globe", " "),
      startsAt: oneOf(2 * cancellationNotice, 0),
      sections: Arbitrary.array(section, { maxLength: 2 })
    }),
    Show.CreateShow
  )
}

/** By the names of the commands of a reservation. */
export const ofReservations = {
  InitiateReservation: Arbitrary.map(
    Arbitrary.all({
      reservationId: oneOf("r1"),
      showId: oneOf("s1"),
      sectionId: oneOf("stalls"),
      customerId: oneOf("ada"),
      quantity: oneOf(0, 1, 2, 8, 9)
    }),
    Reservation.InitiateReservation
  ),
  RecordSeats: Arbitrary.map(
    Arbitrary.all({ price: oneOf(500), count: oneOf(1, 2) }),
    ({ count, price }) => Reservation.RecordSeats({ reservationId: "r1", seats: count === 1 ? [1] : [1, 2], price })
  )
}
