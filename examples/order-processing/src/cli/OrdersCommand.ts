/**
 * `orders`: the program, with a subcommand for everything that it does.
 */
import { Command } from "effect/cli"
import { DataFolder } from "./DataFolder.ts"
import { HistoryCommand } from "./HistoryCommand.ts"
import { ImportCommand } from "./ImportCommand.ts"
import { ListCommand } from "./ListCommand.ts"
import { ReportCommand } from "./ReportCommand.ts"
import { ShowCommand } from "./ShowCommand.ts"

const description = "Orders, event-sourced in PostgreSQL. Exit codes: 0 done, 1 lines refused or no such order, " +
  "2 wrong usage or unreadable input, 3 failure, 130 interrupted."

export const OrdersCommand = Command.make("orders").pipe(
  Command.withDescription(description),
  Command.withSubcommands([ImportCommand, ShowCommand, HistoryCommand, ListCommand, ReportCommand]),
  Command.withGlobalFlags([DataFolder])
)
