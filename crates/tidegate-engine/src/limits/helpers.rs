//! What the modules of helpers take as parameters in Linux, under the names that the kernel's command line has for them:
//! `nf_conntrack_ftp.loose`.
//!
//! They take what Linux lets a module be given. The switches of SIP and `gkrouted_only` are whole numbers there, of which all but 0
//! mean yes; here they take 0 and 1 and refuse the rest.
//!
//! `ports` is not among them: here, as in Linux since 6.0, a helper reads what a rule gives it, whatever the port.

use super::Timeout;

/// How helpers read, and how long what they look after lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HelperLimits {
    /// FTP: whether a command may name another host than its sender.
    pub ftp_loose: bool,
    /// IRC: offers of one conversation that may wait at a time; at least 1.
    pub irc_offers: u8,
    /// IRC: how long an offer waits.
    pub irc_timeout: Timeout,
    /// SIP: how long the signalling lives after its last message.
    pub sip_timeout: Timeout,
    /// SIP: whether calls are expected from the registrar only.
    pub sip_direct_signalling: bool,
    /// SIP: whether media are expected between the ends of the signalling only.
    pub sip_direct_media: bool,
    /// Amanda: how long the control conversation lives after an answer.
    pub amanda_timeout: Timeout,
    /// NetBIOS names: how long answers to a broadcast are expected.
    pub netbios_timeout: Timeout,
    /// SNMP: how long answers to a broadcast are expected.
    pub snmp_timeout: Timeout,
    /// H.323: how long a registration lasts that doesn't say so.
    pub h323_registration: Timeout,
    /// H.323: whether calls are expected from the gatekeeper only.
    pub h323_gatekeeper_only: bool,
    /// H.323: whether a call that is forwarded on the caller's own side is left alone.
    pub h323_forward_filter: bool,
}

impl Default for HelperLimits {
    fn default() -> Self {
        Self {
            ftp_loose: false,
            irc_offers: 8,
            irc_timeout: Timeout(300),
            sip_timeout: Timeout(3600),
            sip_direct_signalling: true,
            sip_direct_media: true,
            amanda_timeout: Timeout(300),
            netbios_timeout: Timeout(3),
            snmp_timeout: Timeout(30),
            h323_registration: Timeout(300),
            h323_gatekeeper_only: true,
            h323_forward_filter: true,
        }
    }
}
