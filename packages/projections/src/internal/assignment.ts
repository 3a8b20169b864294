/**
 * Who should work on what, from what everybody sees: a pure rule that each member applies for itself.
 *
 * A member's fair share is the sum, over the subscribers that it runs, of their parts divided by their members, rounded
 * up. It takes free leases up to that. What stays free for a while, because the members with room do not run that
 * subscriber, anybody takes. And a member that owns at least two more than one with room gives one back: the member that
 * owns the most, one lease at a time. Each such move makes the load more even, so they come to an end.
 */
import * as Duration from "effect/Duration"
import type { Lease, Part, Subscriber, Survey } from "../Lease.ts"

/** What a member should do now. */
export interface Plan {
  readonly take: ReadonlyArray<Part>
  readonly giveBack: Part | undefined
  /** When to look again, if nothing is heard before. `undefined`: nothing expires. */
  readonly lookAgainIn: Duration.Duration | undefined
}

/** A subscriber as a text. */
export const keyOf = ({ name, version }: Subscriber): string => `${name} v${version}`

/** A part as a text. */
export const partKey = (part: Part): string => `${keyOf(part)}/${part.partition}`

const count = (texts: ReadonlyArray<string>): ReadonlyMap<string, number> => {
  const counts = new Map<string, number>()
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1)
  return counts
}

/** How many leases a member may take: its fair share, of which nobody else can take a part away. */
const fairShares = ({ leases, members }: Survey): ReadonlyMap<string, number> => {
  const partsOf = count(leases.map(keyOf))
  const membersOf = count(members.map(keyOf))
  const shares = new Map<string, number>()
  for (const member of members) {
    const share = (partsOf.get(keyOf(member)) ?? 0) / membersOf.get(keyOf(member))!
    shares.set(member.member, (shares.get(member.member) ?? 0) + share)
  }
  // Thirds do not add up to a whole in binary.
  return new Map([...shares].map(([member, share]) => [member, Math.ceil(share - 1e-9)]))
}

/** The lease with which the fullest of the members should part, if any. */
const surplus = (
  { leases, members }: Survey,
  owned: ReadonlyMap<string, number>,
  shares: ReadonlyMap<string, number>
): Lease | undefined => {
  let given: Lease | undefined
  let most = 0
  for (const lease of leases) {
    if (lease.owner === undefined) continue
    const load = owned.get(lease.owner) ?? 0
    if (load < most || (load === most && given?.owner !== undefined && given.owner <= lease.owner)) continue
    const hasTaker = members.some(({ member, name, version }) => {
      const theirs = owned.get(member) ?? 0
      return name === lease.name && version === lease.version && theirs < (shares.get(member) ?? 0) &&
        load - theirs >= 2
    })
    if (hasTaker) {
      given = lease
      most = load
    }
  }
  return given
}

/** What a member should do now, who leaves free for others what has been free for no longer than `grace`. */
export const plan = (survey: Survey, member: string, grace: Duration.Duration): Plan => {
  const { leases, members } = survey
  const runs = new Set(members.filter((each) => each.member === member).map(keyOf))
  const owned = count(leases.flatMap(({ owner }) => owner ?? []))
  const shares = fairShares(survey)
  const free = leases.filter((lease) => lease.owner === undefined && runs.has(keyOf(lease)))
  const room = Math.max(0, (shares.get(member) ?? 0) - (owned.get(member) ?? 0))
  const patience = Duration.toMillis(grace)
  const orphans = free.slice(room).filter(({ expiresIn }) => Duration.toMillis(expiresIn) <= -patience)
  const given = surplus(survey, owned, shares)
  const others = leases.filter((lease) => lease.owner !== member && runs.has(keyOf(lease)))
    .map(({ expiresIn, owner }) => Duration.toMillis(expiresIn) + (owner === undefined ? patience : 0))
    .filter((wait) => wait > 0)
  return {
    take: [...free.slice(0, room), ...orphans],
    giveBack: given?.owner === member ? given : undefined,
    lookAgainIn: others.length === 0 ? undefined : Duration.millis(Math.min(...others) + 1)
  }
}
