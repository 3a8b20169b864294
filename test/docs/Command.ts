/** The commands of pnpm that a document tells its reader to type: do they exist? */
import type { Fence, Problem } from "./Fence.ts"

/** What the repository offers: its scripts, those of its packages by package name, and the pnpm it is built with. */
export interface Offer {
  readonly pnpm: string
  readonly root: ReadonlySet<string>
  readonly packages: ReadonlyMap<string, ReadonlySet<string>>
}

/** Commands of pnpm itself that a document may name. */
const builtIn: ReadonlySet<string> = new Set(["add", "exec", "install", "pack"])

const shells: ReadonlySet<string> = new Set(["sh", "bash", "shell", "console"])

/** What a document tells its reader to type: the lines of shell fences, and inline code outside of fences. */
const commands = (text: string, fences: ReadonlyArray<Fence>) => {
  const fenced = new Set(fences.flatMap(({ line, lines }) => lines.map((_, index) => line + 1 + index)))
  return [
    ...fences
      .filter(({ language }) => shells.has(language))
      .flatMap(({ line, lines }) =>
        lines.map((command, index) => ({ line: line + 1 + index, command: command.replace(/(^|\s)#.*$/, "") }))
      ),
    ...text.split("\n").flatMap((prose, index) =>
      fenced.has(index + 1)
        ? []
        : [...prose.matchAll(/`([^`]+)`/g)].map(([, command = ""]) => ({ line: index + 1, command }))
    )
  ]
}

const complaint = (offer: Offer, version: string, rest: ReadonlyArray<string>): string | undefined => {
  if (version !== "" && version !== offer.pnpm) {
    return `pnpm ${version} is named here, the repository uses ${offer.pnpm}`
  }
  const filter = rest.findIndex((word) => word === "--filter" || word === "-F")
  const member = filter === -1 ? undefined : rest[filter + 1]
  const scripts = member === undefined ? offer.root : offer.packages.get(member)
  if (scripts === undefined) return `pnpm --filter ${member}: the workspace has no such package`
  const words = rest.filter((word, index) => !word.startsWith("-") && (filter === -1 || index !== filter + 1))
  const script = words[0] === "run" ? words[1] : words[0]
  if (script === undefined || script.startsWith("<") || builtIn.has(script) || scripts.has(script)) return undefined
  return `pnpm ${script}: there is no such script in ${member ?? "the root"}'s package.json`
}

/** Mentions of pnpm scripts that would fail when typed. */
export const unknownScripts = (
  document: string,
  text: string,
  fences: ReadonlyArray<Fence>,
  offer: Offer
): ReadonlyArray<Problem> =>
  commands(text, fences).flatMap(({ command, line }) =>
    [...command.matchAll(/(?:^|[\s;&|(])pnpm(?:@([\w.-]+))?((?:\s+[^\s;&|)]+)*)/g)].flatMap(
      ([, version = "", rest = ""]) => {
        const message = complaint(offer, version, rest.split(/\s+/).filter((word) => word !== ""))
        return message === undefined ? [] : [{ document, line, message }]
      }
    )
  )
