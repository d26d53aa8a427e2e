import type { TcpCheck } from './check-form.ts';

/** Connects once. Null when a server listens; else what was expected and what came. */
export async function probeTcp({ host, port }: TcpCheck, signal: AbortSignal): Promise<string | null> {
  const { connect } = process.getBuiltinModule('node:net');
  const failure = await new Promise<NodeJS.ErrnoException | null>((resolve) => {
    const socket = connect({ host, port, signal });
    socket.once('connect', () => {
      socket.destroy();
      resolve(null);
    });
    socket.once('error', resolve);
  });
  if (failure === null) return null;
  const refused = failure.code === 'ECONNREFUSED' ? 'nothing listens there' : failure.message || (failure.code ?? 'the connection failed');
  return `expected a connection to ${host}:${port}, got none: ${refused}`;
}
