"""One or two phones made of PJSIP (pjsua2-python) in one process. Each event is a line of JSON.

With one account: sign in. With two: sign in, write, call under mandatory SRTP, hold, resume, hang up; each phone plays
`<user>-speaks.wav` and records into `<user>-hears.wav`.
"""

import argparse
import gc
import json
import os
import sys
import time

# The library greets on standard output, where only JSON belongs: its output goes where complaints go.
TELL = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

import pjsua2 as pj  # noqa: E402

SECONDS_MAX = 15.0


def tell(event, **facts):
    print(json.dumps({"event": event, **facts}), file=TELL, flush=True)


def arguments():
    parser = argparse.ArgumentParser()
    for name in ("server", "ca", "dir", "domain"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--account", nargs=2, action="append", metavar=("USER", "PASSWORD"), required=True)
    return parser.parse_args()


def endpoint(options):
    config = pj.EpConfig()
    config.logConfig.level = 5
    config.logConfig.consoleLevel = 0
    config.logConfig.filename = options.dir + "/trace"
    config.uaConfig.threadCnt = 0
    config.uaConfig.mainThreadOnly = True
    config.medConfig.noVad = True
    library = pj.Endpoint()
    library.libCreate()
    library.libInit(config)
    library.audDevManager().setNullDev()
    transport = pj.TransportConfig()
    transport.boundAddress = "127.0.0.1"
    transport.tlsConfig.CaListFile = options.ca
    transport.tlsConfig.verifyServer = True
    transport.tlsConfig.proto = pj.PJ_SSL_SOCK_PROTO_TLS1_2 | pj.PJ_SSL_SOCK_PROTO_TLS1_3
    library.transportCreate(pj.PJSIP_TRANSPORT_TLS, transport)
    library.libStart()
    return library


class Call(pj.Call):
    def __init__(self, phone, number=pj.PJSUA_INVALID_ID):
        super().__init__(phone, number)
        self.phone, self.state, self.code = phone, "", 0
        self.active = self.held = False
        self.player = self.recorder = None

    def onCallState(self, _):
        info = self.getInfo()
        self.state, self.code = info.stateText, info.lastStatusCode

    def onCallMediaState(self, _):
        info = self.getInfo()  # kept in a variable: the list of media dies with it
        statuses = [media.status for media in info.media]
        self.active = pj.PJSUA_CALL_MEDIA_ACTIVE in statuses
        self.held = pj.PJSUA_CALL_MEDIA_REMOTE_HOLD in statuses or pj.PJSUA_CALL_MEDIA_LOCAL_HOLD in statuses
        for media in info.media:
            if media.status == pj.PJSUA_CALL_MEDIA_ACTIVE:
                self.connect(self.getAudioMedia(media.index))

    def connect(self, audio):
        if self.player is None:
            self.player, self.recorder = pj.AudioMediaPlayer(), pj.AudioMediaRecorder()
            self.player.createPlayer(self.phone.speaks)
            self.recorder.createRecorder(self.phone.hears)
        self.player.startTransmit(audio)
        audio.startTransmit(self.recorder)


class Phone(pj.Account):
    def open(self, options, user, password):
        self.user, self.code, self.reason = user, None, ""
        self.inbox, self.call, self.delivered = [], None, None
        self.aor = "sip:%s@%s" % (user, options.domain)
        self.speaks = "%s/%s-speaks.wav" % (options.dir, user)
        self.hears = "%s/%s-hears.wav" % (options.dir, user)
        config = pj.AccountConfig()
        config.idUri = self.aor
        config.regConfig.registrarUri = "sip:%s;transport=tls" % options.domain
        config.regConfig.timeoutSec = 60
        config.regConfig.retryIntervalSec = 0
        config.sipConfig.authCreds.append(pj.AuthCredInfo("digest", "*", user, 0, password))
        config.sipConfig.proxies.append("sip:%s;transport=tls;lr;hide" % options.server)
        config.mediaConfig.srtpUse = pj.PJMEDIA_SRTP_MANDATORY
        config.mediaConfig.srtpSecureSignaling = 1
        config.mediaConfig.transportConfig.boundAddress = "127.0.0.1"
        self.create(config)
        return self

    def onRegState(self, event):
        self.code, self.reason = event.code, event.reason

    def onInstantMessage(self, event):
        self.inbox.append(event.msgBody)

    def onInstantMessageStatus(self, event):
        self.delivered = event.code

    def onIncomingCall(self, event):
        self.call = Call(self, event.callId)


class Conversation:
    def __init__(self, library, caller, callee):
        self.library, self.caller, self.callee = library, caller, callee

    def until(self, what, condition):
        """Lets the library work until the condition holds."""
        end = time.monotonic() + SECONDS_MAX
        while not condition():
            if time.monotonic() > end:
                tell("failed", what=what)
                raise TimeoutError(what)
            self.library.libHandleEvents(20)

    def sign_in(self, phone):
        self.until("an answer to REGISTER", lambda: phone.code is not None)
        tell("signed-in", user=phone.user, code=phone.code, reason=phone.reason)
        return phone.code == 200

    def write(self, sender, receiver, text):
        config, buddy, message = pj.BuddyConfig(), pj.Buddy(), pj.SendInstantMessageParam()
        config.uri = receiver.aor + ";transport=tls"
        buddy.create(sender, config)
        message.content = text
        buddy.sendInstantMessage(message)
        self.until("a message", lambda: text in receiver.inbox and sender.delivered is not None)
        tell("message", user=receiver.user, text=text, code=sender.delivered)

    def talk(self):
        call = Call(self.caller)
        call.makeCall(self.callee.aor + ";transport=tls", operation(0))
        self.until("ringing", lambda: self.callee.call or call.code >= 300)
        other = self.callee.call
        other.answer(operation(200))
        self.until("a call", lambda: call.active and other.active and other.state == call.state == "CONFIRMED")
        self.until_recorded()
        tell("established", media=[line.strip() for line in call.dump(True, " ").splitlines() if "SRTP" in line])
        call.setHold(operation(0))
        self.until("hold", lambda: call.held and other.held)
        resume = operation(0)
        resume.opt.flag = pj.PJSUA_CALL_UNHOLD
        call.reinvite(resume)
        self.until("resumption", lambda: call.active and other.active and not call.held)
        tell("resumed", states=[call.state, other.state])
        call.hangup(operation(0))
        self.until("BYE", lambda: other.state.startswith("DISCONN"))
        tell("hung-up")
        for one in (call, other):
            one.player = one.recorder = None  # closes the recordings
        gc.collect()

    def until_recorded(self):
        """Two seconds of 16 bit samples at 8 kHz at the least, in both recordings."""
        size = lambda phone: os.path.exists(phone.hears) and os.path.getsize(phone.hears)  # noqa: E731
        self.until("voice", lambda: min(size(self.caller), size(self.callee)) > 32000)

    def recordings(self):
        for phone in (self.caller, self.callee):
            tell("heard", user=phone.user, file=phone.hears)


def operation(code):
    parameter = pj.CallOpParam(True)
    parameter.statusCode = code
    return parameter


def main():
    options = arguments()
    library = endpoint(options)
    phones = [Phone().open(options, user, password) for user, password in options.account]
    conversation = Conversation(library, phones[0], phones[-1])
    signed_in = [conversation.sign_in(phone) for phone in phones]
    if len(phones) == 2 and all(signed_in):
        conversation.write(phones[0], phones[1], "Servus from PJSIP")
        conversation.write(phones[1], phones[0], "Moin from PJSIP")
        conversation.talk()
        conversation.recordings()


try:
    main()
    code = 0
except Exception as error:
    print(repr(error), file=sys.stderr)
    code = 1
# The library's own shutdown depends on the order in which Python drops its objects, so the process ends here.
sys.stderr.flush()
os._exit(code)
