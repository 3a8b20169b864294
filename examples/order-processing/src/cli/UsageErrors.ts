/**
 * What is said about a wrong command line: what is wrong with it, on standard error, and where to find help. The help
 * itself is for those who ask for it, so that standard output holds nothing but results.
 */
import { Console, Effect, type Layer } from "effect"
import { CliOutput } from "effect/cli"

const formatter = CliOutput.defaultFormatter({ colors: false })

/** Replaces the presentation of wrong command lines. */
export const layer: Layer.Layer<never> = CliOutput.layerPresenter({
  present: (event) =>
    event._tag === "InvalidInvocation"
      ? Effect.andThen(
        Console.error(formatter.formatErrors(event.errors).trim()),
        Console.error(`See ${event.commandPath.join(" ")} --help`)
      )
      : CliOutput.defaultPresenter.present(event)
})
