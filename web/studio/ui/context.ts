/** What every part of the page may reach. */

import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { Session } from "../broadcast/session.ts";
import type { Studio } from "../studio.ts";

export interface Desk {
  studio: Studio;
  session: Session;
}

export const DeskContext = createContext<Desk | undefined>(undefined);

export function useDesk(): Desk {
  const desk = useContext(DeskContext);
  if (desk === undefined) throw new Error("a part of the page stands outside the studio");
  return desk;
}
