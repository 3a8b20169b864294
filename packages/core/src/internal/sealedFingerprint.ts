/**
 * The fingerprint of a command beside personal data. It is a digest that anybody can make of a guess at the command, so
 * stored as it is it would tell, after a shredding, whether the guess is right. It is sealed under the keys of all
 * subjects whose data the command stored, and gone with any of them.
 */
import type { CommandEvent } from "../EventStore.ts"
import type { Opener } from "../SubjectKeys.ts"
import * as Wire from "./personalJson.ts"

const mark = "$personal:"

/** What a store takes. Each key makes it longer: there is room for the keys of three subjects. */
const maxLength = 255

type Openers = ReadonlyMap<string, Opener>

const placeOf = (commandId: string, subject: string): string =>
  JSON.stringify(["composable-ts personal", "fingerprint", commandId, subject])

/** The same for the same keys; nothing when one was shredded, or there are too many: then the events are compared. */
export const seal = async (fingerprint: string, commandId: string, openers: Openers): Promise<string | undefined> => {
  let text = fingerprint
  for (const subject of [...openers.keys()].toSorted()) {
    const opener = openers.get(subject)!
    if (opener === "shredded") return undefined
    text = await opener.seal(text, placeOf(commandId, subject), "")
  }
  return mark.length + text.length > maxLength ? undefined : mark + text
}

/** The fingerprint as it was before it was sealed; nothing when a key is gone, and one that was never sealed as it is. */
export const open = async (stored: string, commandId: string, openers: Openers): Promise<string | undefined> => {
  if (!stored.startsWith(mark)) return stored
  let text: string | undefined = stored.slice(mark.length)
  for (const subject of [...openers.keys()].toSorted().toReversed()) {
    const opener = openers.get(subject)!
    if (opener === "shredded" || text === undefined) return undefined
    text = await opener.open(text, placeOf(commandId, subject))
  }
  return openers.size === 0 ? undefined : text
}

/** Whose data the command stored. */
export const subjectsOf = (stored: ReadonlyArray<CommandEvent>): ReadonlySet<string> => {
  const subjects = new Set<string>()
  for (const { data } of stored) {
    Wire.findEach(data, (object) => {
      if (Wire.isSealed(object)) subjects.add(object[Wire.member])
    })
  }
  return subjects
}
