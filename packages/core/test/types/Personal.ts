/**
 * What a personal field is to those who read it: a value or its absence, and never the value alone.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import * as Fx from "@composable-ts/core/Fx"
import * as Personal from "@composable-ts/core/Personal"
import { Schema } from "effect"
import { a, type Equals, type Proof } from "./Proof.ts"

const Customer = Action.define("Customer", {
  commands: { Register: { email: Schema.String } },
  events: { Registered: Event.v1({ email: Personal.schema(Schema.String), born: Personal.schema(Schema.Date) }) }
})
type Registered = Action.EventOf<typeof Customer>

/** The field holds the decoded value, or the absence. */
export type Fields = [
  Proof<Equals<Registered["email"], Personal.Personal<string>>>,
  Proof<Equals<Registered["born"], Personal.Personal<Date>>>,
  Proof<Equals<Personal.Personal<Date>, Personal.Present<Date> | Personal.Shredded>>
]

const event = a<Registered>()

// @ts-expect-error a personal field is no text
export const text: string = event.email

// @ts-expect-error the value is there only when it is there
export const value = event.email.value

// @ts-expect-error a plain value belongs to nobody
Customer.Registered({ email: "zoe@example.com", born: Personal.shredded("p-1") })

// @ts-expect-error the value is of another type
Customer.Registered({ email: Personal.present("p-1", 5), born: Personal.shredded("p-1") })

// @ts-expect-error an absence has to be dealt with, too
Personal.match(event.email, { Present: (email) => email.length })

Aggregate.define(Customer, {
  initial: { email: "" },
  decide: () => Fx.none,
  // @ts-expect-error the state wants a text, and the event may have none any more
  evolve: (_state, { email }) => ({ email })
})

/** What reads both compiles. */
export const shown: string = Personal.match(event.email, { Present: (email) => email, Shredded: () => "(erased)" })
export const birthday: Date | undefined = Personal.getOrElse(event.born, () => undefined)
export const length: Personal.Personal<number> = Personal.map(event.email, (email) => email.length)
if (Personal.isPresent(event.email)) event.email.value satisfies string

// @ts-expect-error a schema that needs a service to decode cannot be stored
Personal.schema(a<Schema.Codec<string, string, "a service">>())
