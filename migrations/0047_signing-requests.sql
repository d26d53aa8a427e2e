CREATE TABLE "signing_requests" (
	"key" text PRIMARY KEY NOT NULL,
	"repository_id" text NOT NULL,
	"host" text NOT NULL,
	"request" text NOT NULL,
	"at" bigint NOT NULL,
	"envelope" text,
	"refused" text
);
--> statement-breakpoint
ALTER TABLE "signing_requests" ADD CONSTRAINT "signing_requests_repository_id_repositories_id_fk" FOREIGN KEY ("repository_id") REFERENCES "public"."repositories"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "signing_requests_unanswered" ON "signing_requests" USING btree ("repository_id","at") WHERE "signing_requests"."envelope" is null and "signing_requests"."refused" is null;