//! What is broken answers in one voice, and what is beside it goes on.
use std::{
    net::TcpListener,
    sync::{Arc, atomic::AtomicBool, mpsc},
};

use actix_web::{App as Actix, HttpServer, middleware::from_fn, web};
use gateway::{
    app::{self, App},
    call::Call,
    endpoint::Endpoint,
    reply::Answer,
};
use serde_json::Value;

use crate::client::Server;

/// A server with endpoints of its own, over the database of another.
fn serve(server: &Server, endpoints: fn() -> Vec<Endpoint>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let data = web::Data::new(App::new(server.door.clone(), 3, Arc::new(AtomicBool::new(false))).unwrap());
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let server = HttpServer::new(move || {
                let actix = Actix::new().app_data(data.clone()).wrap(from_fn(app::around));
                actix.configure(|config| app::mount(config, endpoints()))
            });
            let server = server.workers(1).disable_signals().listen(listener).unwrap().run();
            tell.send(()).unwrap();
            server.await.unwrap();
        });
    });
    told.recv().unwrap();
    base
}

fn planted() -> Vec<Endpoint> {
    async fn panics(_: Call) -> actix_web::HttpResponse {
        panic!("a planted panic with a secret in it");
    }
    vec![
        Endpoint::get("/panics", "panics", panics),
        Endpoint::get("/panics/inside", "panicsInside", |call: Call| {
            call.read(|_, _| -> crm_core::Result<Answer> { panic!("a planted panic with a secret in it") })
        }),
    ]
}

#[test]
fn a_panic_is_a_problem_and_nobody_elses() {
    let server = Server::start();
    let base = serve(&server, planted);
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    for _ in 0..5 {
        for path in ["/panics", "/panics/inside"] {
            let bearer = format!("Bearer {}", server.house.admin.token);
            let mut reply = agent.get(format!("{base}{path}")).header("authorization", bearer).call().unwrap();
            assert_eq!(reply.status().as_u16(), 500, "{path}");
            assert_eq!(reply.headers()["x-content-type-options"], "nosniff");
            let text = reply.body_mut().read_to_string().unwrap();
            let body: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(body["code"], "internal_error");
            assert!(body["requestId"].is_string() && !text.contains("secret"), "{text}");
        }
    }
    server.admin().get("/api/auth/me").expect(200);
}
