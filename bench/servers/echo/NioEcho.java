// Java: java.nio, one selector and one OS thread. All connections share a direct buffer; only what a socket did not
// take is copied, and the connection reads again after that was sent.
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.function.Consumer;

public final class NioEcho {
    private static final int BACKLOG = 4096;
    private static final ByteBuffer buffer = ByteBuffer.allocateDirect(64 << 10);

    public static void main(String[] arguments) throws IOException {
        String host = System.getenv().getOrDefault("BENCH_HOST", "127.0.0.1");
        Selector selector = Selector.open();
        ServerSocketChannel listener = ServerSocketChannel.open();
        listener.configureBlocking(false);
        listener.bind(new InetSocketAddress(host, 0), BACKLOG);
        listener.register(selector, SelectionKey.OP_ACCEPT);
        System.out.println("ready " + ((InetSocketAddress) listener.getLocalAddress()).getPort());
        Consumer<SelectionKey> handle = NioEcho::handle;
        while (true) {
            selector.select(handle);
        }
    }

    private static void handle(SelectionKey key) {
        if (key.isAcceptable()) {
            accept(key);
            return;
        }
        try {
            if (key.isWritable()) {
                flush(key);
            } else if (key.isReadable()) {
                echo(key);
            }
        } catch (IOException reset) {
            close(key);
        }
    }

    private static void accept(SelectionKey key) {
        try {
            SocketChannel client = ((ServerSocketChannel) key.channel()).accept();
            if (client != null) {
                client.configureBlocking(false);
                client.setOption(StandardSocketOptions.TCP_NODELAY, true);
                client.register(key.selector(), SelectionKey.OP_READ);
            }
        } catch (IOException error) {
            throw new java.io.UncheckedIOException(error);
        }
    }

    private static void echo(SelectionKey key) throws IOException {
        SocketChannel client = (SocketChannel) key.channel();
        buffer.clear();
        if (client.read(buffer) < 0) {
            close(key);
            return;
        }
        buffer.flip();
        client.write(buffer);
        if (buffer.hasRemaining()) {
            ByteBuffer unsent = ByteBuffer.allocate(buffer.remaining()).put(buffer);
            key.attach(unsent.flip());
            key.interestOps(SelectionKey.OP_WRITE);
        }
    }

    private static void flush(SelectionKey key) throws IOException {
        ByteBuffer unsent = (ByteBuffer) key.attachment();
        ((SocketChannel) key.channel()).write(unsent);
        if (!unsent.hasRemaining()) {
            key.attach(null);
            key.interestOps(SelectionKey.OP_READ);
        }
    }

    private static void close(SelectionKey key) {
        key.cancel();
        try {
            key.channel().close();
        } catch (IOException ignored) {
            // it is gone
        }
    }
}
