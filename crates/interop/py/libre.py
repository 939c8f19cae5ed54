"""One phone made of baresip-python (libre 4.10), told what to do by its arguments. Each event is a line of JSON.

It signs in over TLS, checking the server's certificate and name; then it answers one call or makes one, speaks a sine and
records what it hears into a WAV file.
"""

import argparse
import array
import asyncio
import json
import math
import wave

from baresip import Account, Config, Runtime, UserAgent

SECONDS_TO_HEAR = 2.0
SECONDS_MAX = 15.0


def tell(event, **facts):
    print(json.dumps({"event": event, **facts}), flush=True)


def arguments():
    parser = argparse.ArgumentParser()
    for name in ("user", "domain", "password", "server", "ca", "recording"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--tone", type=int, default=440)
    parser.add_argument("--answer", action="store_true")
    parser.add_argument("--call")
    return parser.parse_args()


def config(options):
    lines = [
        "dns_server 127.0.0.1:53",
        "sip_listen 127.0.0.1:0",
        "sip_transports tls",
        "sip_cafile " + options.ca,
        "sip_verify_server yes",
        "rtp_ports 22000-22200",
    ]
    return Config(net_interface="127.0.0.1", native_log_level="info", extra_config_text="\n".join(lines) + "\n")


async def sign_in(runtime, options):
    account = Account(
        user=options.user,
        auth_user=options.user,
        domain=options.domain,
        password=options.password,
        registrar="sip:%s;transport=tls" % options.server,
        transport="tls",
        reg_interval=60,
        extra_params=("mediaenc=srtp-mand",),
    )
    agent = await UserAgent.create(runtime, account)
    try:
        await agent.register(timeout=10)
    except Exception as error:  # the library has one class a reason; which one it was is in the text
        tell("signed-in", ok=False, why="%s: %s" % (type(error).__name__, error))
        return None
    tell("signed-in", ok=True)
    return agent


async def incoming(agent):
    call = asyncio.get_running_loop().create_future()
    agent.on_incoming(lambda one: call.done() or call.set_result(one))
    call = await asyncio.wait_for(call, SECONDS_MAX)
    await call.answer()
    return call


async def until(condition):
    end = asyncio.get_running_loop().time() + SECONDS_MAX
    while not condition():
        if asyncio.get_running_loop().time() > end:
            raise TimeoutError("media did not start")
        await asyncio.sleep(0.02)


async def talk(call, options):
    """Speaks until enough was heard, or the other side hung up. Returns the samples heard and their rate."""
    await until(lambda: call.audio.info().tx_ready and call.audio.info().rx_ready)
    info = call.audio.info()
    rate = getattr(info, "srate", None) or getattr(info, "sample_rate", 8000)
    heard = array.array("h")
    spoken = 0
    end = asyncio.get_running_loop().time() + SECONDS_MAX
    enough = False
    while asyncio.get_running_loop().time() < end:
        block = range(spoken, spoken + rate // 50)
        spoken += rate // 50
        samples = [int(9000 * math.sin(2 * math.pi * options.tone * n / rate)) for n in block]
        try:
            call.audio.write(array.array("h", samples).tobytes())
            heard.frombytes(call.audio.read(rate // 25 * 2))
        except Exception:  # the call is over, which the answering side cannot know otherwise
            break
        if not enough and len(heard) > SECONDS_TO_HEAR * rate:
            enough = True
            # The caller stays a moment longer than it needs for itself: the other side wants to hear, too.
            end = asyncio.get_running_loop().time() + (1.0 if options.call else SECONDS_MAX)
        await asyncio.sleep(0.02)
    return heard, rate


def record(samples, rate, path):
    with wave.open(path, "wb") as recording:
        recording.setnchannels(1)
        recording.setsampwidth(2)
        recording.setframerate(rate)
        recording.writeframes(samples.tobytes())


async def phone(runtime, options):
    agent = await sign_in(runtime, options)
    if agent is None or not (options.answer or options.call):
        return
    call = await (incoming(agent) if options.answer else agent.dial(options.call))
    await call.wait_established(SECONDS_MAX)
    tell("established")
    heard, rate = await talk(call, options)
    if options.call:
        await call.hangup()
    record(heard, rate, options.recording)
    tell("heard", file=options.recording)


async def main():
    options = arguments()
    runtime = Runtime()
    await runtime.start(config(options))
    try:
        await phone(runtime, options)
    finally:
        await asyncio.wait_for(runtime.close(), 5)


asyncio.run(main())
