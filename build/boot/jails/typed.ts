import type { DeployedJail } from '../deployed.js';

export const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
export const line = (text: string): RegExp => new RegExp(`^${text}$`, 'm');

/** `bastille list` of a jail that runs, with its address. */
export function listed({ name, address }: DeployedJail): RegExp {
  return line(`.*\\b${escaped(name)}\\b.*\\bUp\\b.*\\b${escaped(address)}\\b.*`);
}

/** Whether one jail reaches an address and port: `WORDS yes` or `WORDS no`. */
export function tries(words: string, from: string, address: string, port: number | string): string {
  return `if jexec ${from} nc -n -z -w 2 ${address} ${port} > /dev/null 2>&1 < /dev/null; then echo '${words} yes'; else echo '${words} no'; fi`;
}

/** A listener that stays, for the host or for a jail. */
export function listens(address: string, port: number | string, jail?: string): string {
  return `daemon -f ${jail === undefined ? '' : `jexec ${jail} `}nc -n -k -l ${address} ${port}`;
}
