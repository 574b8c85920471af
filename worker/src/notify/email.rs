//! The channel *email*.

use postrider_core::{
    domain::{
        UnixMs,
        attempt::AttemptClass,
        notification::Suppression,
        recipient::{EmailState, Recipient},
        suppression::SuppressionCause,
        unsubscribe::Unsubscribe,
    },
    store::StoreError,
};

use super::{Channels, Failed, Message, Reached};
use crate::mail::{Letter, MailError, Obstacle};

impl Channels {
    pub(super) async fn mail(&self, message: &Message, to: &Recipient) -> Result<Reached, StoreError> {
        let Some(email) = &to.email else { return Ok(Reached::Suppressed(Suppression::NoAddress)) };
        if matches!(email.state, EmailState::Suppressed(_)) {
            return Ok(Reached::Suppressed(Suppression::AddressSuppressed));
        }
        let host = email.address.host().to_owned();
        let Some(mailer) = &self.mailer else {
            let error =
                "no mail server is set here; set smtp_url and smtp_from (POSTRIDER_SMTP_URL, POSTRIDER_SMTP_FROM)";
            return Ok(Reached::Outage(Failed::new(AttemptClass::Connect, error, &host)));
        };
        let of = &message.of;
        let mail = match message.version.mail(message.form, &message.data, to) {
            Ok(mail) => mail,
            Err(error) => {
                let failed = Failed::new(AttemptClass::Invalid, error, &host);
                return Ok(Reached::Failed(Failed { is_lasting: true, ..failed }));
            }
        };
        let unsubscribe = self.public_url.as_ref().map(|base| {
            let from = Unsubscribe { tenant: of.tenant, recipient: to.id, category: of.of.category.clone() };
            format!("{base}/unsubscribe/{}", self.store.sign_unsubscribe(&from))
        });
        let id = format!("{}.{}", message.id, to.id);
        let letter = Letter {
            to: &email.address,
            subject: &mail.subject,
            text: &mail.text,
            html: mail.html.as_deref(),
            id: Some(&id),
            unsubscribe: unsubscribe.as_deref(),
        };
        let Err(error) = mailer.send(&letter).await else { return Ok(Reached::Delivered) };
        let obstacle = error.obstacle();
        let failed = Failed { status: error.status(), ..Failed::new(class(&error), &error, &host) };
        Ok(match obstacle {
            Obstacle::Mailbox => {
                let scope = self.store.tenant(of.tenant);
                scope.put_suppression(&email.address, SuppressionCause::Bounce, &failed.error, UnixMs::now()).await?;
                Reached::Suppressed(Suppression::Bounced)
            }
            Obstacle::Passing => Reached::Failed(failed),
            Obstacle::Lasting => Reached::Failed(Failed { is_lasting: true, ..failed }),
            Obstacle::Server => Reached::Outage(failed),
        })
    }
}

fn class(error: &MailError) -> AttemptClass {
    match error {
        MailError::Address(_) | MailError::Content(_) | MailError::Extension(_) => AttemptClass::Invalid,
        MailError::Slow(_) => AttemptClass::Timeout,
        MailError::Server(error) if error.status().is_some() => AttemptClass::MailRefused,
        MailError::Server(error) if error.is_tls() => AttemptClass::Tls,
        MailError::Server(_) | MailError::Connection(_) => AttemptClass::Connect,
        MailError::Signature | MailError::Url(_) => AttemptClass::Invalid,
    }
}
