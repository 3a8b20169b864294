/**
 * Names and other words that people write.
 */
import { Schema } from "effect"

const maxLength = 500
const control = /\p{Cc}/u
const halfPair = /\p{Surrogate}/u

const issueOf = (text: string): string | undefined => {
  if (text.trim() === "") return "Expected a text that is not blank"
  if (text.length > maxLength) return `Expected at most ${maxLength} characters`
  if (control.test(text)) return "Expected no control character"
  if (halfPair.test(text)) return "Expected well-formed text, not half of a surrogate pair"
  return undefined
}

/** A line of text, not blank, of at most 500 characters. PostgreSQL can store it and a terminal show it. */
export const Text = Schema.String.check(Schema.makeFilter(issueOf))
