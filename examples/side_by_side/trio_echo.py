"""An echo server: clients that are silent for too long are closed, and a signal stops it gracefully."""

import signal
import sys

import trio

IDLE_S = float(sys.argv[2])
GRACE_S = 3


class Server:
    def __init__(self) -> None:
        self.connections = 0
        self.cut = 0
        self.accepting = trio.CancelScope()
        self.handling = trio.CancelScope()

    async def echo(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        try:
            async with stream:
                while True:
                    with trio.fail_after(IDLE_S):
                        data = await stream.receive_some(65536)
                    if not data:
                        return
                    with trio.fail_after(IDLE_S):
                        await stream.send_all(data)
        except (trio.BrokenResourceError, trio.TooSlowError):
            pass
        except trio.Cancelled:
            self.cut += 1
            raise
        finally:
            self.connections -= 1

    async def wait_for_signals(self, *, task_status: trio.TaskStatus[None]) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            task_status.started()
            async for _ in signals:
                if self.accepting.cancel_called:
                    self.handling.cancel()
                self.accepting.cancel()
                self.handling.deadline = trio.current_time() + GRACE_S

    async def run(self) -> None:
        async with trio.open_nursery() as watching:
            await watching.start(self.wait_for_signals)
            with self.handling:
                async with trio.open_nursery() as handlers:
                    with self.accepting:
                        listeners = await trio.open_tcp_listeners(int(sys.argv[1]), host="127.0.0.1")
                        print("listening on", listeners[0].socket.getsockname()[1], flush=True)
                        await trio.serve_listeners(self.echo, listeners, handler_nursery=handlers)
            watching.cancel_scope.cancel()
        print("cut off:", self.cut)


trio.run(Server().run)
